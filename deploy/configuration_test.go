package deploy

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

const terraformDir = "../terraform"

// configuration is the terraform configuration, for one choice of variables.
// Resources have no values yet, as in a plan for an empty account.
type configuration struct {
	t      *testing.T
	blocks []*hclsyntax.Block
	ctx    *hcl.EvalContext
}

func terraformFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(terraformDir + "/*.tf")
	if err != nil || len(files) == 0 {
		t.Fatal("no terraform files", err)
	}
	return files
}

// configured reads the configuration; what is not in given has its default.
func configured(t *testing.T, given map[string]cty.Value) *configuration {
	t.Helper()
	c := &configuration{t: t, ctx: &hcl.EvalContext{Functions: terraformFunctions()}}
	for _, file := range terraformFiles(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parsed, diags := hclsyntax.ParseConfig(text, file, hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		c.blocks = append(c.blocks, parsed.Body.(*hclsyntax.Body).Blocks...)
	}
	variables := map[string]cty.Value{}
	for _, b := range c.all("variable") {
		name := b.Labels[0]
		if value, ok := given[name]; ok {
			variables[name] = value
		} else if attribute := b.Body.Attributes["default"]; attribute != nil {
			variables[name], _ = attribute.Expr.Value(nil)
		} else {
			t.Fatalf("variable %s has no value", name)
		}
	}
	c.ctx.Variables = map[string]cty.Value{
		"var":       cty.ObjectVal(variables),
		"path":      cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal(terraformDir)}),
		"data":      cty.DynamicVal,
		"ephemeral": cty.DynamicVal,
	}
	for _, b := range c.all("resource") {
		c.ctx.Variables[b.Labels[0]] = cty.DynamicVal
	}
	// The groups are told apart by what they are called.
	groups := map[string]cty.Value{}
	for _, name := range []string{"public", "server", "database"} {
		groups[name] = cty.ObjectVal(map[string]cty.Value{"id": cty.StringVal(name)})
	}
	groups["database"] = cty.TupleVal([]cty.Value{groups["database"]})
	c.ctx.Variables["aws_security_group"] = cty.ObjectVal(groups)
	c.locals()
	return c
}

// locals evaluates all local values, in whatever order they need one another.
func (c *configuration) locals() {
	waiting := map[string]hcl.Expression{}
	for _, b := range c.all("locals") {
		for name, attribute := range b.Body.Attributes {
			waiting[name] = attribute.Expr
		}
	}
	values := map[string]cty.Value{}
	for len(waiting) > 0 {
		before := len(waiting)
	names:
		for name, expression := range waiting {
			for _, traversal := range expression.Variables() {
				if traversal.RootName() == "local" && len(traversal) > 1 {
					if _, ok := values[traversal[1].(hcl.TraverseAttr).Name]; !ok {
						continue names
					}
				}
			}
			c.ctx.Variables["local"] = cty.ObjectVal(values)
			value, diags := expression.Value(c.ctx)
			if diags.HasErrors() {
				c.t.Fatalf("local.%s: %v", name, diags)
			}
			values[name] = value
			delete(waiting, name)
		}
		if len(waiting) == before {
			c.t.Fatalf("locals that need one another: %v", waiting)
		}
	}
	c.ctx.Variables["local"] = cty.ObjectVal(values)
}

func (c *configuration) all(kind string) (blocks []*hclsyntax.Block) {
	for _, b := range c.blocks {
		if b.Type == kind {
			blocks = append(blocks, b)
		}
	}
	return blocks
}

func (c *configuration) local(name string) cty.Value {
	return c.ctx.Variables["local"].GetAttr(name)
}

// value is an attribute of a block; a null where it has none.
func (c *configuration) value(b *hclsyntax.Block, name string) cty.Value {
	c.t.Helper()
	attribute := b.Body.Attributes[name]
	if attribute == nil {
		return cty.NullVal(cty.DynamicPseudoType)
	}
	value, diags := attribute.Expr.Value(c.ctx)
	if diags.HasErrors() {
		c.t.Fatalf("%s %q: %s: %v", b.Type, b.Labels, name, diags)
	}
	return value
}

// count is how many there are of each resource.
func (c *configuration) count() map[string]int {
	counts := map[string]int{}
	for _, b := range c.all("resource") {
		n := 1
		if v := c.value(b, "count"); !v.IsNull() {
			f, _ := v.AsBigFloat().Int64()
			n = int(f)
		}
		counts[strings.Join(b.Labels, ".")] = n
	}
	return counts
}

// terraformFunctions are those that the configuration uses.
func terraformFunctions() map[string]function.Function {
	text := func(f func(args []cty.Value) (cty.Value, error), names ...string) function.Function {
		spec := &function.Spec{Type: function.StaticReturnType(cty.String)}
		for _, name := range names {
			spec.Params = append(spec.Params, function.Parameter{Name: name, Type: cty.String})
		}
		spec.Impl = func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f(args) }
		return function.New(spec)
	}
	holds := func(f func(s, part string) bool) function.Function {
		return function.New(&function.Spec{
			Params: []function.Parameter{{Name: "s", Type: cty.String}, {Name: "part", Type: cty.String}},
			Type:   function.StaticReturnType(cty.Bool),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				return cty.BoolVal(f(args[0].AsString(), args[1].AsString())), nil
			},
		})
	}
	same := function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType}},
		Type:   func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl:   func(args []cty.Value, _ cty.Type) (cty.Value, error) { return args[0], nil },
	})
	functions := map[string]function.Function{
		"can": tryfunc.CanFunc, "concat": stdlib.ConcatFunc, "distinct": function.New(&function.Spec{
			Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
			Type:   function.StaticReturnType(cty.DynamicPseudoType),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				var kept []cty.Value
			values:
				for _, v := range args[0].AsValueSlice() {
					for _, k := range kept {
						if k.RawEquals(v) {
							continue values
						}
					}
					kept = append(kept, v)
				}
				return cty.TupleVal(kept), nil
			},
		}),
		"floor": stdlib.FloorFunc, "join": stdlib.JoinFunc, "jsonencode": stdlib.JSONEncodeFunc, "length": stdlib.LengthFunc,
		"merge": stdlib.MergeFunc, "nonsensitive": same, "range": stdlib.RangeFunc, "regex": stdlib.RegexFunc, "split": stdlib.SplitFunc,
		"trimprefix": stdlib.TrimPrefixFunc, "trimsuffix": stdlib.TrimSuffixFunc, "values": stdlib.ValuesFunc,
		"startswith": holds(strings.HasPrefix), "endswith": holds(strings.HasSuffix),
		"cidrhost": text(func(args []cty.Value) (cty.Value, error) {
			prefix, err := netip.ParsePrefix(args[0].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			address := prefix.Addr()
			for i := args[1].AsString(); i != "0"; {
				n := 0
				if _, err := fmt.Sscan(i, &n); err != nil {
					return cty.NilVal, err
				}
				address, i = address.Next(), fmt.Sprint(n-1)
			}
			return cty.StringVal(address.String()), nil
		}, "network", "host"),
		"file": text(func(args []cty.Value) (cty.Value, error) {
			content, err := os.ReadFile(args[0].AsString())
			return cty.StringVal(string(content)), err
		}, "path"),
	}
	functions["templatefile"] = function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "vars", Type: cty.DynamicPseudoType}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			path := args[0].AsString()
			content, err := os.ReadFile(path)
			if err != nil {
				return cty.NilVal, err
			}
			template, diags := hclsyntax.ParseTemplate(content, path, hcl.InitialPos)
			if diags.HasErrors() {
				return cty.NilVal, diags
			}
			value, diags := template.Value(&hcl.EvalContext{Variables: args[1].AsValueMap(), Functions: functions})
			if diags.HasErrors() {
				return cty.NilVal, diags
			}
			return value, nil
		},
	})
	return functions
}
