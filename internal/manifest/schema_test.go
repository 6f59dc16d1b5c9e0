package manifest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

//go:generate go test -run TestSchemaIsCurrent -update

var update = flag.Bool("update", false, "write docs/manifest.schema.json")

func TestSchemaIsCurrent(t *testing.T) {
	want, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("..", "..", "docs", "manifest.schema.json")
	if *update {
		if err := os.WriteFile(file, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(have)); diff != "" {
		t.Errorf("docs/manifest.schema.json is not current; run go generate ./internal/manifest\n%s", diff)
	}
}

// The schema and the decoder come from the same definition; another program
// that validates by the schema must agree with the decoder on what fits it.
func TestSchemaAgreesWithTheDecoder(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("manifest.schema.json", loaded); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("manifest.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"small":             small,
		"everything":        everything,
		"numbers as text":   "launchPlan: 7\nversion: 1.10\nworkflow: {name: true}\n",
		"unknown key":       "launchPlan: l\nworkfow: {}\nworkflow: {}\n",
		"unknown inner key": "launchPlan: l\nworkflow: {nodes: [{id: a, command: [x], inputs: {}, input: {}}]}\n",
		"missing":           "launchPlan: l\n",
		"missing inner":     "launchPlan: l\nworkflow: {nodes: [{id: a}]}\n",
		"enum":              "launchPlan: l\nschedule: {overlap: never}\nworkflow: {}\n",
		"enum of text":      "launchPlan: l\nschedule: {overlap: buffer-one, dstGap: next}\nworkflow: {}\n",
		"too small":         "launchPlan: l\nconcurrencyPolicy: {max: 0}\nworkflow: {}\n",
		"no number":         "launchPlan: l\nmaxParallelism: many\nworkflow: {}\n",
		"no boolean":        "launchPlan: l\nactive: 1\nworkflow: {}\n",
		"no text":           "launchPlan: [l]\nworkflow: {}\n",
		"empty":             "launchPlan:\nworkflow: {}\n",
		"no list":           "launchPlan: l\nworkflow: {nodes: {}}\n",
		"no map":            "launchPlan: l\nenvs: [a]\nworkflow: {}\n",
		"variable":          "workflow: {inputs: {a: {type: string, description: d}, b: integer}}\n",
		"bad variable":      "workflow: {inputs: {a: {typ: string}}}\n",
		"no root":           "[]\n",
	} {
		var value any
		if err := yaml.Load([]byte(text), &value); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		asJSON, err := json.Marshal(value)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if value, err = jsonschema.UnmarshalJSON(bytes.NewReader(asJSON)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		decoder := decode(text)
		validator := schema.Validate(value)
		if (decoder == nil) != (validator == nil) {
			t.Errorf("%s: the decoder says %v, the schema %v", name, decoder, validator)
		}
	}
}
