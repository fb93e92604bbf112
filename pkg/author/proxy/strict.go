package proxy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	// the messages that typed configurations may hold
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/stepward/stepward/pkg/finding"
)

// strict compares an Envoy document with Envoy's own types, member by member, so that a
// misspelling is reported with its position. It skips typed configurations of unknown
// messages.
func (x *exam) strict(n node) {
	switch {
	case n.get("@type").there():
		x.any(n)
	case n.get("configs").there():
		x.message(n, (&adminv3.ConfigDump{}).ProtoReflect().Descriptor())
	case n.get("resources").there():
		x.message(n, (&discoveryv3.DiscoveryResponse{}).ProtoReflect().Descriptor())
	default:
		x.message(n, (&bootstrapv3.Bootstrap{}).ProtoReflect().Descriptor())
	}
}

var protoDuration = regexp.MustCompile(`^-?[0-9]+(\.[0-9]{1,9})?s$`)

func (x *exam) message(n node, m protoreflect.MessageDescriptor) {
	switch m.FullName() {
	case "google.protobuf.Any":
		x.any(n)
	case "google.protobuf.Duration":
		if !protoDuration.MatchString(n.text()) {
			x.report(ruleValue, n, fmt.Sprintf("%q is not a duration such as 0.25s", n.text()))
		}
	case "google.protobuf.BoolValue":
		x.field(n, m.Fields().ByName("value"))
	default:
		if m.FullName().Parent() == "google.protobuf" {
			return // numbers, texts, and values that may hold anything
		}
		x.members(n, m)
	}
}

// any follows a typed configuration into its message, if that is known.
func (x *exam) any(n node) {
	t, err := protoregistry.GlobalTypes.FindMessageByURL(n.get("@type").text())
	if err != nil || t.Descriptor().FullName().Parent() == "google.protobuf" || t.Descriptor().Name() == "TypedStruct" {
		return
	}
	x.members(n, t.Descriptor())
}

func (x *exam) members(n node, m protoreflect.MessageDescriptor) {
	if n.text() != "" || n.y.Kind == 0 {
		x.report(ruleValue, n, fmt.Sprintf("%s must be an object", m.Name()))
		return
	}
	for key, value := range n.members() {
		name := key.y.Value
		f := m.Fields().ByJSONName(name)
		if f == nil {
			f = m.Fields().ByTextName(name)
		}
		switch {
		case f != nil:
			x.field(value, f)
		case name != "@type":
			x.unknown(key, string(m.Name()), fields(m))
		}
	}
}

// unknown reports a key that is not among the known ones.
func (x *exam) unknown(key node, of string, known []string) {
	x.report(ruleUnknown, key, fmt.Sprintf("%s has no field %q%s", of, key.y.Value,
		finding.DidYouMean(key.y.Value, known)))
}

func fields(m protoreflect.MessageDescriptor) []string {
	var names []string
	for i := range m.Fields().Len() {
		names = append(names, string(m.Fields().Get(i).Name()))
	}
	slices.Sort(names)
	return names
}

func (x *exam) field(n node, f protoreflect.FieldDescriptor) {
	switch {
	case !n.there():
	case f.IsMap():
		for _, value := range n.members() {
			x.single(value, f.MapValue())
		}
	case f.IsList():
		if n.text() != "" {
			x.report(ruleValue, n, fmt.Sprintf("%s must be a list", f.Name()))
		}
		for item := range n.items() {
			x.single(item, f)
		}
	default:
		x.single(n, f)
	}
}

func (x *exam) single(n node, f protoreflect.FieldDescriptor) {
	switch f.Kind() {
	case protoreflect.MessageKind:
		x.message(n, f.Message())
	case protoreflect.BoolKind:
		if !n.yes() && !n.no() {
			x.report(ruleValue, n, fmt.Sprintf("%s must be true or false, and is %q", f.Name(), n.text()))
		}
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		if number, err := strconv.ParseInt(n.text(), 10, 32); err == nil && values.ByNumber(
			protoreflect.EnumNumber(number)) != nil || values.ByName(protoreflect.Name(n.text())) != nil {
			return
		}
		var names []string
		for i := range values.Len() {
			names = append(names, string(values.Get(i).Name()))
		}
		x.report(ruleValue, n, fmt.Sprintf("%s is never %q%s", f.Name(), n.text(), finding.DidYouMean(n.text(), names)))
	}
}
