// Package validate_test holds the manifests of this folder against what clusters
// would hold them against: the CRDs with their CEL rules, Istio's mesh
// configuration, and Envoy Gateway's own translation, run by the real Envoy. It is a
// module of its own so that Stepward does not depend on Kubernetes.
package validate_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	mesh "istio.io/api/mesh/v1alpha1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/json"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	eg "github.com/envoyproxy/gateway"
	_ "github.com/projectcontour/contour/apis/projectcontour/v1" // keeps the module whose CRDs are read
	_ "sigs.k8s.io/gateway-api/apis/v1"
)

// kind is a version of a resource.
type kind struct{ group, version, kind string }

type checker struct {
	structural *schema.Structural
	validate   validation.SchemaValidator
	rules      *cel.Validator
}

// documents splits a YAML file.
func documents(t *testing.T, text []byte) [][]byte {
	t.Helper()
	var all [][]byte
	for part := range bytes.SplitSeq(append([]byte("\n"), text...), []byte("\n---")) {
		if len(bytes.TrimSpace(part)) > 0 {
			all = append(all, part)
		}
	}
	return all
}

// load adds the CRDs in a YAML text to the checkers.
func load(t *testing.T, into map[kind]checker, text []byte) {
	t.Helper()
	for _, doc := range documents(t, text) {
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(doc, &crd); err != nil || crd.Kind != "CustomResourceDefinition" {
			continue
		}
		for _, v := range crd.Spec.Versions {
			if v.Schema == nil || v.Schema.OpenAPIV3Schema == nil {
				continue
			}
			var internal apiextensions.JSONSchemaProps
			if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
				v.Schema.OpenAPIV3Schema, &internal, nil); err != nil {
				t.Fatal(err)
			}
			structural, err := schema.NewStructural(&internal)
			if err != nil {
				t.Fatalf("%s: %v", crd.Name, err)
			}
			validator, _, err := validation.NewSchemaValidator(&internal)
			if err != nil {
				t.Fatal(err)
			}
			into[kind{crd.Spec.Group, v.Name, crd.Spec.Names.Kind}] = checker{structural, validator,
				cel.NewValidator(structural, true, celconfig.PerCallLimit)}
		}
	}
}

// module is the folder of a module that go.mod names.
func module(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", path).Output()
	if err != nil || len(bytes.TrimSpace(out)) == 0 {
		if more, err := exec.Command("go", "mod", "download", path).CombinedOutput(); err != nil {
			t.Fatalf("%s: %s", path, more)
		}
		if out, err = exec.Command("go", "list", "-m", "-f", "{{.Dir}}", path).Output(); err != nil {
			t.Fatal(err)
		}
	}
	return strings.TrimSpace(string(out))
}

func crds(t *testing.T) map[kind]checker {
	t.Helper()
	all := map[kind]checker{}
	load(t, all, eg.GatewayCRDs)
	for path, pattern := range map[string]string{
		"istio.io/api":                      "kubernetes/customresourcedefinitions.gen.yaml",
		"sigs.k8s.io/gateway-api":           "config/crd/experimental/*.yaml",
		"github.com/projectcontour/contour": "examples/contour/01-crds.yaml",
	} {
		files, err := filepath.Glob(filepath.Join(module(t, path), pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no CRDs of %s", path)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			load(t, all, text)
		}
	}
	return all
}

// check is what a cluster would say of a resource.
func check(all map[kind]checker, text []byte) error {
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	var o map[string]any
	if err := json.Unmarshal(asJSON, &o); err != nil { // whole numbers as int64, as CEL wants them
		return err
	}
	apiVersion, _ := o["apiVersion"].(string)
	group, version, _ := strings.Cut(apiVersion, "/")
	name, _ := o["kind"].(string)
	c, ok := all[kind{group, version, name}]
	if !ok {
		return fmt.Errorf("no CRD for %s %s", apiVersion, name)
	}
	if unknown := pruning.PruneWithOptions(o, c.structural, true, schema.UnknownFieldPathOptions{
		TrackUnknownFieldPaths: true}); len(unknown) > 0 {
		return fmt.Errorf("unknown fields %v", unknown)
	}
	defaulting.Default(o, c.structural)
	if errs := validation.ValidateCustomResource(nil, o, c.validate); len(errs) > 0 {
		return errs.ToAggregate()
	}
	errs, _ := c.rules.Validate(context.Background(), nil, c.structural, o, nil, celconfig.RuntimeCELCostBudget)
	return errs.ToAggregate()
}

// Every manifest is one that a cluster takes.
func TestManifests(t *testing.T) {
	all := crds(t)
	checked := 0
	for _, dir := range []string{"istio", "gateway", "gateway-api", "contour"} {
		err := filepath.WalkDir(filepath.Join("..", dir), func(path string, d fs.DirEntry, err error) error {
			// read by what reads them, in TestRecipes
			if err != nil || filepath.Ext(path) != ".yaml" || slices.Contains(
				[]string{"mesh.yaml", "values.yaml", "namespaces.yaml"}, filepath.Base(path)) {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, doc := range documents(t, text) {
				checked++
				if err := check(all, doc); err != nil {
					t.Errorf("%s: %v\n%s", path, err, doc)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if checked < 12 {
		t.Errorf("only %d resources", checked)
	}
}

// The check is one that can fail: at a misspelt field, a wrong type and a CEL rule.
func TestCheckCanFail(t *testing.T) {
	all := crds(t)
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(documents(t, text)[0])
	}
	for name, broken := range map[string]string{
		"misspelt field": strings.Replace(read("gateway/stepward.yaml"), "failOpen:", "failopen:", 1),
		"wrong type": strings.Replace(read("gateway/stepward.yaml"), "statusOnError: 503",
			"statusOnError: often", 1),
		"CEL: GRPC wants it": strings.Replace(read("gateway-api/route.yaml"), "        grpc: {}\n", "", 1),
		"unknown action":     strings.Replace(read("istio/policy.yaml"), "CUSTOM", "CUSTOMS", 1),
		"no such kind": strings.Replace(read("contour/stepward.yaml"), "kind: ExtensionService",
			"kind: ExtensionServices", 1),
	} {
		if err := check(all, []byte(broken)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// The part of the mesh configuration is read by Istio's own types.
func TestMeshConfig(t *testing.T) {
	text, err := os.ReadFile("../istio/mesh.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values struct {
		MeshConfig object `json:"meshConfig"`
	}
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(values.MeshConfig)
	if err != nil {
		t.Fatal(err)
	}
	var m mesh.MeshConfig
	if err := protojson.Unmarshal(asJSON, &m); err != nil {
		t.Fatal(err)
	}
	p := m.ExtensionProviders[0].GetEnvoyExtAuthzGrpc()
	if p.GetFailOpen() || p.GetStatusOnError() != "503" || p.GetClearRouteCache() ||
		p.GetTimeout().AsDuration().Milliseconds() != 250 {
		t.Errorf("%v", p)
	}
}
