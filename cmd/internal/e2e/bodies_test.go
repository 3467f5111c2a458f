package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
)

// bodies makes bodies from the schemas of the description, and spoils them.
type bodies struct {
	*rand.Rand
	ids     func(field string) string // an id that is right for a field, "" where there is none
	spoiled bool                      // the body that was made is no longer sure to be valid
}

func pick[T any](b *bodies, from ...T) T { return from[b.IntN(len(from))] }

// The texts have what JSON, SQL and Go treat specially. None has a NUL.
var texts = []string{
	``, `plain`, `null`, `XS`, `7.5`, `tab\t\"quote\" \\ \/ \b`, `\u0001\u001f\u007f`, `Größe \ud83d\ude00 \ufffd`, `'; drop table catalog.products; --`,
	`{\"a\":[1,2}`, `{a,b}`, `\\N`, `$1 %s \\x00`, `<script>&amp;\u2028</script>`, "\u00e9\u0301\u202e", `140`, `skus`, `features`,
}

// Values that belong nowhere, or almost.
var strays = []string{
	`null`, `true`, `-1`, `0`, `1.5`, `1e400`, `-0`, `1E2`, `99999999999999999999`, `2147483648`, `9223372036854775807`, `0.001`, `10000000000`,
	`"\u0000"`, `"\ud800"`, `"\udc00\ud800"`, `"1"`, `"1e3"`, `" 1"`, `"NaN"`, `[]`, `{}`, `[[]]`, `[{}]`, `{"":0}`, `"` + strings.Repeat("é", 1001) + `"`,
	`"` + strings.Repeat("x", 20_001) + `"`, `[` + strings.Repeat(`1,`, 1000) + `1]`, strings.Repeat(`[`, 200) + strings.Repeat(`]`, 200),
}

// field is one of an object, in the order of the text.
type field struct {
	name string
	value
}

// value is JSON that can still be changed: an object, a list, or a text.
type value struct {
	fields *[]field
	list   *[]value
	text   string
}

func (v *value) write(w *bytes.Buffer) {
	switch {
	case v.fields != nil:
		w.WriteByte('{')
		for i, f := range *v.fields {
			if i > 0 {
				w.WriteByte(',')
			}
			fmt.Fprintf(w, "%q:", f.name)
			f.write(w)
		}
		w.WriteByte('}')
	case v.list != nil:
		w.WriteByte('[')
		for i := range *v.list {
			if i > 0 {
				w.WriteByte(',')
			}
			(*v.list)[i].write(w)
		}
		w.WriteByte(']')
	default:
		w.WriteString(v.text)
	}
}

// make makes a valid value of a schema for a field.
func (b *bodies) make(s *openapi3.Schema, name string) value {
	if len(s.AnyOf) > 0 {
		return b.make(pick(b, s.AnyOf...).Value, name)
	}
	types := s.Type.Slice()
	for _, part := range s.AllOf {
		types = append(types, part.Value.Type.Slice()...)
	}
	switch kind := pick(b, types...); kind {
	case "object":
		return b.object(s)
	case "array":
		list := []value{}
		n := b.IntN(4)
		if b.IntN(400) == 0 {
			n = 100
		}
		for range n {
			v := b.make(s.Items.Value, name)
			if v.fields != nil || v.list != nil || v.text != "" {
				list = append(list, v)
			}
		}
		return value{list: &list}
	case "string":
		return value{text: b.text(s)}
	case "boolean":
		return value{text: pick(b, "true", "false")}
	case "null":
		return value{text: "null"}
	case "number":
		return value{text: b.price()}
	case "integer":
		if id := b.ids(name); s.Format == "int64" {
			return value{text: id}
		}
		return value{text: strconv.FormatInt(pick(b, int64(*s.Min), int64(*s.Max), b.Int64N(int64(*s.Max))), 10)}
	default:
		panic("a schema of type " + kind)
	}
}

func (b *bodies) object(s *openapi3.Schema) value {
	properties, required := openapi3.Schemas{}, slices.Clone(s.Required)
	maps.Copy(properties, s.Properties)
	for _, part := range s.AllOf {
		maps.Copy(properties, part.Value.Properties)
		required = append(required, part.Value.Required...)
	}
	names := slices.Sorted(maps.Keys(properties))
	b.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	fields := []field{}
	for _, name := range names {
		if slices.Contains(required, name) || b.IntN(2) == 0 {
			v := b.make(properties[name].Value, name)
			if v.fields != nil || v.list != nil || v.text != "" {
				fields = append(fields, field{name, v})
			}
		}
	}
	return value{fields: &fields}
}

func (b *bodies) text(s *openapi3.Schema) string {
	if strings.HasPrefix(s.Pattern, "^[0-9]") {
		return `"` + b.price() + `"`
	}
	if b.IntN(200) == 0 {
		return `"` + strings.Repeat("é", int(*s.MaxLength)) + `"`
	}
	return `"` + pick(b, texts...) + pick(b, texts...) + `"`
}

func (b *bodies) price() string {
	return pick(b, "0", "140", "140.5", "0.07", "9999999999.99", "1.10", fmt.Sprintf("%d.%02d", b.IntN(1000), b.IntN(100)))
}

// body makes a body of a schema: a third are valid, a third are spoilt in their
// values, a third in their bytes.
func (b *bodies) body(s *openapi3.Schema) string {
	v := b.make(s, "")
	kind := b.IntN(3)
	b.spoiled = kind > 0
	if kind == 1 {
		for range 1 + b.IntN(3) {
			b.spoilValue(&v)
		}
	}
	var text bytes.Buffer
	v.write(&text)
	if kind == 2 {
		return string(b.spoilBytes(text.Bytes()))
	}
	return text.String()
}

// spoilValue changes one of the values at random: the deeper ones are more.
func (b *bodies) spoilValue(v *value) {
	for b.IntN(3) > 0 {
		switch {
		case v.fields != nil && len(*v.fields) > 0:
			v = &(*v.fields)[b.IntN(len(*v.fields))].value
		case v.list != nil && len(*v.list) > 0:
			v = &(*v.list)[b.IntN(len(*v.list))]
		}
	}
	switch {
	case v.fields != nil && len(*v.fields) > 0 && b.IntN(4) > 0:
		i := b.IntN(len(*v.fields))
		f := (*v.fields)[i]
		switch b.IntN(3) {
		case 0:
			*v.fields = slices.Delete(*v.fields, i, i+1)
		case 1:
			*v.fields = append(*v.fields, f)
		default:
			(*v.fields)[i].name = pick(b, f.name+"s", strings.ToUpper(f.name), "id", "style_id", "product_id", "~/\"", "")
		}
	case v.list != nil && len(*v.list) > 0 && b.IntN(2) == 0:
		*v.list = append(*v.list, (*v.list)[b.IntN(len(*v.list))])
	default:
		*v = value{text: pick(b, strays...)}
	}
}

func (b *bodies) spoilBytes(text []byte) []byte {
	for range 1 + b.IntN(3) {
		at := b.IntN(len(text) + 1)
		switch b.IntN(5) {
		case 0:
			text = text[:at]
		case 1:
			text = slices.Insert(text, at, byte(b.IntN(256)))
		case 2:
			text = slices.Insert(text, at, []byte(pick(b, strays...))...)
		case 3:
			if at < len(text) {
				text[at] ^= 1 << b.IntN(8)
			}
		default:
			to := at + b.IntN(len(text)-at+1)
			text = slices.Insert(text, at, bytes.Clone(text[at:to])...)
		}
	}
	return text
}

// asDescribed says in what way a body is not as the description has it.
func asDescribed(s *openapi3.Schema, body string) error {
	if !utf8.ValidString(body) {
		return errors.New("it is not UTF-8")
	}
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		return err
	}
	return s.VisitJSON(v, openapi3.EnableJSONSchema2020())
}

// TestBodies: what the generator takes for valid is as described, and what is
// known to be wrong is not.
func TestBodies(t *testing.T) {
	document, err := openapi3.NewLoader().LoadFromFile("../../../http/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b := &bodies{Rand: rand.New(rand.NewPCG(3, 4)), ids: func(string) string { return "1" }}
	valid, spoilt := 0, 0
	for range 300 {
		for _, s := range []*openapi3.Schema{bodyOf(document, "POST", productsPath), bodyOf(document, "PUT", productPath), bodyOf(document, "PATCH", skuPath)} {
			body := b.body(s)
			err := asDescribed(s, body)
			switch {
			case !b.spoiled && err != nil:
				t.Fatalf("%s: %v", body, err)
			case !b.spoiled:
				valid++
			case err != nil:
				spoilt++
			}
		}
	}
	if valid < 150 || spoilt < 150 {
		t.Errorf("%d valid bodies, %d spoilt", valid, spoilt)
	}
	post := bodyOf(document, "POST", productsPath)
	right := `{"name":"a","category":"b","default_price":1}`
	if err := asDescribed(post, right); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{
		``, `[]`, `{}`, right + `}`, strings.Replace(right, `"a"`, `1`, 1), strings.Replace(right, `"a"`, `"\u0000"`, 1), strings.Replace(right, `a"`, "\xff\"", 1),
		strings.Replace(right, `:1`, `:-1`, 1), strings.Replace(right, `:1`, `:"1.234"`, 1), strings.Replace(right, `"b"`, `"b","x":1`, 1),
		strings.Replace(right, `"b"`, `"b","styles":[{"name":"a"}]`, 1), strings.Replace(right, `"b"`, `"b","related":[0]`, 1),
	} {
		if asDescribed(post, wrong) == nil {
			t.Errorf("%q is as described", wrong)
		}
	}
}

func bodyOf(document *openapi3.T, method, path string) *openapi3.Schema {
	return document.Paths.Value(path).GetOperation(method).RequestBody.Value.Content["application/json"].Schema.Value
}
