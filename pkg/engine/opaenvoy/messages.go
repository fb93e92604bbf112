package opaenvoy

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/stepward/stepward/pkg/internal/strictjson"
)

// Messages returns a [Body.Message] that uses the descriptors in a file written by protoc
// with --descriptor_set_out and --include_imports. It decodes to the JSON mapping of
// protobuf, with numbers as [json.Number].
func Messages(descriptors []byte) (func(service, method string, message []byte) (any, bool, error), error) {
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(descriptors, &set); err != nil {
		return nil, fmt.Errorf("opaenvoy: not a set of descriptors: %w", err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, fmt.Errorf("opaenvoy: %w", err)
	}
	return func(service, method string, message []byte) (any, bool, error) {
		found, err := files.FindDescriptorByName(protoreflect.FullName(service))
		s, ok := found.(protoreflect.ServiceDescriptor)
		if err != nil || !ok {
			return nil, false, nil
		}
		m := s.Methods().ByName(protoreflect.Name(method))
		if m == nil || m.IsStreamingClient() {
			return nil, false, nil
		}
		input := dynamicpb.NewMessage(m.Input())
		if proto.Unmarshal(message, input) != nil {
			return nil, true, errors.New("it is no message of the method")
		}
		text, err := protojson.Marshal(input)
		if err != nil {
			return nil, true, errors.New("it has no form in JSON")
		}
		value, err := strictjson.Decode(text)
		return value, true, err
	}, nil
}
