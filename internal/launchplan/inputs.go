package launchplan

import (
	"maps"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/literal"
)

// Inputs is what one launch of spec runs with: its fixed inputs, the given
// ones, and for the rest the defaults among expected. The literals are shared
// with the arguments.
//
// Its error is an *invalid.Error that names the input, as a field of
// CreateExecution.
func Inputs(spec *admin.LaunchPlanSpec, expected *core.ParameterMap, given *core.LiteralMap) (*core.LiteralMap, error) {
	fixed := spec.GetFixedInputs().GetLiterals()
	parameters := expected.GetParameters()
	inputs := map[string]*core.Literal{}
	for _, name := range sortedKeys(given.GetLiterals()) {
		field := inputField(name)
		l := given.GetLiterals()[name]
		p, known := parameters[name]
		switch {
		case fixed[name] != nil:
			return nil, invalid.Field(field, "is fixed by the launch plan and cannot be overridden")
		case !known && len(parameters) == 0:
			return nil, invalid.Field(field, "the launch plan takes no inputs")
		case !known:
			return nil, invalid.Field(field, "the launch plan takes no input %q; did you mean %q?", name,
				invalid.Nearest(name, sortedKeys(parameters)))
		}
		if err := literal.Match(p.GetVar().GetType(), l); err != nil {
			return nil, invalid.Field(field, "%v", err)
		}
		inputs[name] = l
	}
	for _, name := range sortedKeys(parameters) {
		if inputs[name] != nil {
			continue
		}
		p := parameters[name]
		if p.GetDefault() == nil {
			return nil, invalid.Field(inputField(name), "is required (%s)", literal.TypeName(p.GetVar().GetType()))
		}
		inputs[name] = p.GetDefault()
	}
	maps.Copy(inputs, fixed)
	return &core.LiteralMap{Literals: inputs}, nil
}

func inputField(name string) string { return "inputs.literals[" + name + "]" }
