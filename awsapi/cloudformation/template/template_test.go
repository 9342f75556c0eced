package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// env is an environment over a template whose resources have the name as their
// identifier and attributes that say what they are.
func env(t *testing.T, text string, parameters map[string]string) *Env {
	t.Helper()
	parsed, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	e := &Env{
		Region: "us-west-2", Account: "000000000000", StackName: "demo", StackID: "arn:stack", Template: parsed, Parameters: map[string]any{},
		Ref:       func(name string) (any, error) { return "id-of-" + name, nil },
		Attribute: func(name, attribute string) (any, error) { return name + "'s " + attribute, nil },
		Import:    func(name string) (string, error) { return "imported " + name, nil },
		Zones:     func(region string) ([]string, error) { return []string{region + "a", region + "b"}, nil },
	}
	for _, p := range parsed.Parameters {
		given, ok := parameters[p.Name]
		if !ok && p.Default != nil {
			given = *p.Default
		}
		v, err := p.Value(given)
		if err != nil {
			t.Fatal(err)
		}
		e.Parameters[p.Name] = v
	}
	if err := e.EvalConditions(); err != nil {
		t.Fatal(err)
	}
	return e
}

const functionsTemplate = `
Parameters:
  Text: {Type: String, Default: hello}
  Number: {Type: Number, Default: 3}
  List: {Type: CommaDelimitedList, Default: "a, b,c"}
Mappings:
  Map: {first: {second: found, list: [x, y]}}
Conditions:
  Yes: !Equals [!Ref Text, hello]
  No: !Not [!Condition Yes]
  Both: !And [!Condition Yes, !Condition No]
  One: !Or [!Condition Yes, !Condition No]
  Numbers: !Equals [!Ref Number, "3"]
Resources:
  R: {Type: "AWS::X::Y"}
  Q:
    Type: AWS::X::Y
    Properties:
%s
`

func TestFunctions(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]any{
		`!Ref Text`:                "hello",
		`!Ref R`:                   "id-of-R",
		`!Ref "AWS::Region"`:       "us-west-2",
		`!Ref List`:                []any{"a", "b", "c"},
		`!GetAtt R.Arn`:            "R's Arn",
		`!GetAtt R.Endpoint.Port`:  "R's Endpoint.Port",
		`{"Fn::GetAtt": [R, Arn]}`: "R's Arn",
		`!Sub "${Text} ${R} ${R.Arn} ${!Literal}"`:                             "hello id-of-R R's Arn ${Literal}",
		`!Sub ["${X}-${Number}", {X: !Ref List}]`:                              "a,b,c-3",
		`!Join ["-", [a, !Ref Number, 2]]`:                                     "a-3-2",
		`!Join ["", !Ref List]`:                                                "abc",
		`!Split [",", "x,y"]`:                                                  []any{"x", "y"},
		`!Select [1, !Ref List]`:                                               "b",
		`!Select ["0", !GetAZs ""]`:                                            "us-west-2a",
		`!If [Yes, !Ref Text, !Ref Number]`:                                    "hello",
		`!If [No, 1, "AWS::NoValue"]`:                                          "AWS::NoValue",
		`!FindInMap [Map, first, second]`:                                      "found",
		`!FindInMap [Map, first, list]`:                                        []any{"x", "y"},
		`!ImportValue other`:                                                   "imported other",
		`!Base64 hello`:                                                        "aGVsbG8=",
		`!Cidr ["10.0.0.0/16", 3, 8]`:                                          []any{"10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"},
		`!Cidr ["10.0.0.0/16", 2, 5]`:                                          []any{"10.0.0.0/27", "10.0.0.32/27"},
		`!Cidr ["2001:db8::/56", 2, 64]`:                                       []any{"2001:db8::/64", "2001:db8:0:1::/64"},
		`!Select [0, !Cidr [!Select [0, !Cidr ["10.0.0.0/16", 1, 12]], 4, 4]]`: "10.0.0.0/28",
		`[1, !Ref "AWS::NoValue", 2]`:                                          []any{json.Number("1"), json.Number("2")},
		`{a: !Ref "AWS::NoValue", b: true}`:                                    map[string]any{"b": true},
		`2012-10-17`:                                                           "2012-10-17",
		`"yes"`:                                                                "yes",
		`0755`:                                                                 "0755",
		`{Condition: {StringEquals: {a: b}}}`:                                  map[string]any{"Condition": map[string]any{"StringEquals": map[string]any{"a": "b"}}},
	} {
		e := env(t, fmt.Sprintf(functionsTemplate, "      P: "+written), nil)
		got, err := e.Eval(e.Template.Resource("Q").Properties["P"])
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %#v (%v), want %#v", written, got, err, want)
		}
	}
}

func TestFunctionsRefuseWhatTheyCannotDo(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]string{
		`!FindInMap [Map, first, none]`: "Template error: Unable to get mapping for Map::first::none",
		`!Select [3, !Ref List]`:        "Template error: Fn::Select cannot select nonexistent value at index 3",
		`!Join [a]`:                     "Template error: every Fn::Join object requires two parameters",
		`!Split ["", x]`:                "Template error: every Fn::Split object requires two parameters",
		`!Cidr ["10.0.0.0/24", 9, 6]`:   "Template error: Fn::Cidr cannot make 9 blocks of 6 bits out of 10.0.0.0/24",
		`!Cidr ["10.0.0.0/30", 1, 8]`:   "Template error: Fn::Cidr cannot make blocks of 8 bits",
		`!Sub [a]`:                      "Template error: One or more Fn::Sub intrinsic functions",
		`!Base64 [a]`:                   "Template error: every Fn::Base64 object must have a String-typed value.",
		`!If [Yes, a]`:                  "Template error: Fn::If requires a list argument with three elements",
		`{"Fn::Equals": [a, a]}`:        "Template error: Fn::Equals is only allowed in conditions",
		`!Join ["", [!Ref List]]`:       "Template error: every Fn::Join object requires two parameters",
	} {
		e := env(t, fmt.Sprintf(functionsTemplate, "      P: "+written), nil)
		if got, err := e.Eval(e.Template.Resource("Q").Properties["P"]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is %v (%v), want %q", written, got, err, want)
		}
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	e := env(t, fmt.Sprintf(functionsTemplate, "      P: a"), map[string]string{"Text": "bye"})
	if want := map[string]bool{"Yes": false, "No": true, "Both": false, "One": true, "Numbers": true}; !maps.Equal(e.Conditions, want) {
		t.Errorf("%v, want %v", e.Conditions, want)
	}
}

// The messages are those that AWS answers.
func TestTemplatesAreRefused(t *testing.T) {
	t.Parallel()
	const one = "Resources: {A: {Type: 'AWS::X::Y'}}\n"
	for text, want := range map[string]string{
		"x":                 "Template format error: unsupported structure.",
		"":                  "Template format error: unsupported structure.",
		"{":                 "Template format error: JSON not well-formed. (line 1, column 2)",
		"a: [":              "Template format error: YAML not well-formed.",
		"{}":                "Template format error: At least one Resources member must be defined.",
		"Resources: {A: x}": "Template format error: Any Resources member must be an object.",
		"Resources: x":      "Template format error: Any Resources member must be an object.",
		"Resources: {A: {Type: 'AWS::X::Y'}}\nSomething: 1\nElse: 2":                     "Invalid template property or properties [Else, Something]",
		"Resources: {'AWS::NoValue': {Type: x}}":                                         "Template format error: Resource name AWS::NoValue is non alphanumeric.",
		one + "Parameters: {'AWS::NoValue': {Type: String}}":                             "Template format error: Parameter name AWS::NoValue is non alphanumeric.",
		one + "Parameters: {P: {Type: Text}}":                                            "Template format error: Unrecognized parameter type: Text",
		one + "Mappings: {M: {A: x}}":                                                    "Template format error: Every Mappings member A must be a map",
		one + "Mappings: {M: {A: {B: {C: d}}}}":                                          "Template format error: Every Mappings attribute must be a String or a List.",
		one + "Mappings: {M: {A: {B: !Ref X}}}":                                          "Template format error: Every Mappings attribute must be a String or a List.",
		"Resources: {A: {Type: x, DependsOn: B}}":                                        "Template format error: Unresolved resource dependencies [B] in the Resources block of the template",
		"Resources: {A: {Type: x, Properties: {P: !Ref InvalidRef}}}":                    "Template format error: Unresolved resource dependencies [InvalidRef] in the Resources block of the template",
		"Resources: {A: {Type: x, Properties: {P: !Sub '${B} ${C.Arn}'}}}":               "Template format error: Unresolved resource dependencies [B, C] in the Resources block of the template",
		"Resources: {A: {Type: x, Properties: {P: !GetAtt B.Arn}}}":                      "Template error: instance of Fn::GetAtt references undefined resource B",
		"Resources: {A: {Type: x, Properties: {P: !Ref B}}, B: {Type: x, DependsOn: A}}": "Circular dependency between resources: [A, B]",
		one + "Outputs: {O: {Value: !Ref B}}":                                            "Template format error: Unresolved resource dependencies [B] in the Outputs block of the template",
		one + "Conditions: {C: !Equals [a, !Ref A]}":                                     "Template format error: Unresolved dependencies [A]. Cannot reference resources in the Conditions block of the template",
		"Resources: {A: {Type: x, Condition: C}}":                                        "Template format error: Unresolved condition dependency C in the Resources block of the template",
		"Resources: {A: {Type: x, Properties: {P: {'Fn::Transform': {Name: X}}}}}":       "The function Fn::Transform needs a transform or a macro, which is not served here.",
		"Resources: {A: {Type: x, Properties: {P: {'Fn::Nonsense': 1}}}}":                "Template format error: Encountered unsupported function: Fn::Nonsense",
		"Resources: {A: {Type: x, Properties: {P: !Nonsense 1}}}":                        "Template format error: the tag !Nonsense in line 1 is not known",
		"Resources: {A: {Type: x, Properties: {P: null}}}":                               "Template format error: [/Resources/A/Properties/P] 'null' values are not allowed in templates",
		"Resources: {A: {Type: x, Propertys: {}}}":                                       "Invalid template resource property 'Propertys'",
		"Resources: {A: {}}":                                                             "Template format error: [/Resources/A] Every Resources object must contain a Type member.",
		"AWSTemplateFormatVersion: 2011-01-01\n" + one:                                   "Template format error: Unsupported Template format version: 2011-01-01.",
		"Resources: {A: {Type: x}}\nResources: {B: {Type: x}}":                           "Template format error: YAML not well-formed.",
	} {
		if _, err := Parse(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s\n is refused with %v\n          want %s", text, err, want)
		}
	}
}

func TestParametersAreChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ declared, given, want string }{
		{"{Type: String, AllowedValues: [a, b]}", "c", "Parameter 'P' must be one of AllowedValues"},
		{"{Type: String, AllowedPattern: '[a-z]+', ConstraintDescription: only letters}", "1", "Parameter P failed to satisfy constraint: only letters"},
		{"{Type: String, AllowedPattern: '[a-z]+'}", "a1", "Parameter 'P' must match pattern [a-z]+"},
		{"{Type: String, MinLength: 2}", "a", "Parameter 'P' must contain at least 2 characters"},
		{"{Type: String, MaxLength: '2'}", "äöü", "Parameter 'P' must contain at most 2 characters"},
		{"{Type: Number}", "a", "Parameter 'P' must be a number."},
		{"{Type: Number, MinValue: 3}", "2", "Parameter 'P' must be a number not less than 3"},
		{"{Type: Number, MaxValue: 3}", "4", "Parameter 'P' must be a number not greater than 3"},
		{"{Type: List<Number>}", "1, x", "Parameter 'P' must be a number."},
		{"{Type: String, MaxLength: 3}", "äöü", ""},
		{"{Type: CommaDelimitedList, AllowedValues: [a, b]}", "b,a", ""},
	} {
		parsed, err := Parse("Resources: {A: {Type: x}}\nParameters: {P: " + c.declared + "}")
		if err != nil {
			t.Fatal(err)
		}
		_, err = parsed.Parameter("P").Value(c.given)
		if got := fmt.Sprint(err); err == nil && c.want != "" || err != nil && got != c.want {
			t.Errorf("%s with %q: %v, want %q", c.declared, c.given, err, c.want)
		}
	}
}

// The rule that the CDK writes into every template.
func TestRules(t *testing.T) {
	t.Parallel()
	text := `{"Resources": {"A": {"Type": "x"}}, "Parameters": {"BootstrapVersion": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/cdk-bootstrap/hnb659fds/version"}},
		"Rules": {"CheckBootstrapVersion": {"Assertions": [{"Assert": {"Fn::Not": [{"Fn::Contains": [["1", "2"], {"Ref": "BootstrapVersion"}]}]}, "AssertDescription": "run cdk bootstrap"}]}}}`
	for version, want := range map[string]string{"33": "", "2": "Template error: rule CheckBootstrapVersion: run cdk bootstrap"} {
		e := env(t, text, nil)
		e.Parameters["BootstrapVersion"] = e.Template.Parameters[0].Resolved(version)
		err := e.CheckRules()
		if err == nil && want != "" || err != nil && err.Error() != want {
			t.Errorf("version %s: %v, want %q", version, err, want)
		}
	}
}

func TestResourcesThatAreLeftOut(t *testing.T) {
	t.Parallel()
	const text = `
Parameters: {On: {Type: String}}
Conditions: {C: !Equals [!Ref On, "yes"]}
Resources:
  A: {Type: x, Condition: C}
  B: {Type: x, Properties: {P: %s}}
Outputs: {O: {Value: %s}}`
	for _, c := range []struct{ property, output, want string }{
		{"!Ref A", "b", "Template format error: Unresolved resource dependencies [A] in the Resources block of the template"},
		{"!GetAtt A.Arn", "b", "Template format error: Unresolved resource dependencies [A] in the Resources block of the template"},
		{"b", "!Ref A", "Unresolved resource dependencies [A] in the Outputs block of the template"},
		{"!If [C, !Ref A, b]", "!If [C, !GetAtt A.Arn, b]", ""},
	} {
		e := env(t, fmt.Sprintf(text, c.property, c.output), map[string]string{"On": "no"})
		err := e.Template.CheckWanted(e.Conditions)
		if err == nil && c.want != "" || err != nil && err.Error() != c.want {
			t.Errorf("%s, %s: %v, want %q", c.property, c.output, err, c.want)
		}
		order, err := e.Template.Order(e.Conditions)
		if err != nil || len(order) != 1 {
			t.Errorf("the order is %v (%v)", order, err)
		}
	}
}

func TestUnknownValuesStayUnknown(t *testing.T) {
	t.Parallel()
	e := env(t, fmt.Sprintf(functionsTemplate, `      P: {a: !Sub "x${R}", b: !Join [",", [!GetAtt R.Arn]], c: !Select [0, [known, !Ref R]], d: [!Ref R]}`), nil)
	e.Ref = func(string) (any, error) { return Unknown, nil }
	e.Attribute = func(string, string) (any, error) { return Unknown, nil }
	v, err := e.Eval(e.Template.Resource("Q").Properties["P"])
	if err != nil {
		t.Fatal(err)
	}
	if got, want := Known(v), map[string]any{"a": KnownAfterApply, "b": KnownAfterApply, "c": "known", "d": []any{KnownAfterApply}}; !reflect.DeepEqual(got, any(want)) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	v, err := References(map[string]any{"a": []any{"x {{resolve:ssm:/p:3}} y"}, "b": "plain"}, func(service, reference string) (string, error) { return service + "=" + reference, nil })
	if err != nil || !reflect.DeepEqual(v, map[string]any{"a": []any{"x ssm=/p:3 y"}, "b": "plain"}) {
		t.Errorf("%v, %v", v, err)
	}
	for text, want := range map[string]SecretReference{
		"token:SecretString:::":                                 {ID: "token"},
		"token":                                                 {ID: "token"},
		"token:SecretString:key:AWSPREVIOUS:":                   {ID: "token", Key: "key", Stage: "AWSPREVIOUS"},
		"arn:aws:secretsmanager:r:1:secret:t-abc":               {ID: "arn:aws:secretsmanager:r:1:secret:t-abc"},
		"arn:aws:secretsmanager:r:1:secret:t:SecretString:k::v": {ID: "arn:aws:secretsmanager:r:1:secret:t", Key: "k", Version: "v"},
	} {
		if got, err := ParseSecretReference(text); err != nil || got != want {
			t.Errorf("%s is %+v (%v), want %+v", text, got, err, want)
		}
	}
}

// Every resource comes after all that it needs, whatever needs what.
func TestOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "resources")
		parsed := &Template{}
		for i := range n {
			r := &Resource{Name: fmt.Sprint("R", i), Type: "x", Properties: map[string]any{}}
			for j := range i {
				switch rapid.IntRange(0, 5).Draw(t, "edge") {
				case 0:
					r.DependsOn = append(r.DependsOn, fmt.Sprint("R", j))
				case 1:
					r.Properties[fmt.Sprint("P", j)] = map[string]any{"Fn::Sub": fmt.Sprintf("${R%d.Arn}", j)}
				}
			}
			parsed.Resources = append(parsed.Resources, r)
		}
		rapid.Permutation(parsed.Resources).Draw(t, "order")
		order, err := parsed.Order(nil)
		if err != nil || len(order) != n {
			t.Fatalf("%d of %d, %v", len(order), n, err)
		}
		done := map[string]bool{}
		for _, r := range order {
			for _, need := range parsed.Needs(r, nil) {
				if !done[need] {
					t.Fatalf("%s comes before %s", r.Name, need)
				}
			}
			done[r.Name] = true
		}
	})
}

func TestAliasesCannotGrowATemplateWithoutEnd(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.Join(slices.Repeat([]string{fmt.Sprintf("*a%d", i-1)}, 10), ","))
	}
	if _, err := Parse(b.String()); err == nil || !strings.Contains(err.Error(), "Template format error") {
		t.Errorf("the template was read: %v", err)
	}
	if _, err := Parse("Resources: " + strings.Repeat("[", 5000)); err == nil {
		t.Error("the template was read")
	}
	if _, err := Parse(`{"Resources": ` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}"); err == nil {
		t.Error("the template was read")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(fmt.Sprintf(functionsTemplate, "      P: !Sub ['${A}', {A: !Ref R}]"))
	f.Add(`{"Resources": {"A": {"Type": "x", "Properties": {"P": {"Fn::Cidr": ["10.0.0.0/16", 3, 8]}}}}}`)
	f.Add("Resources: {A: {Type: x, Properties: {P: &a [*a]}}}")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse(text)
		if err != nil {
			return
		}
		e := &Env{Template: parsed, Parameters: map[string]any{}, Ref: func(string) (any, error) { return Unknown, nil }, Attribute: func(string, string) (any, error) { return "x", nil },
			Import: func(string) (string, error) { return "x", nil }, Zones: func(string) ([]string, error) { return []string{"a"}, nil }}
		for _, p := range parsed.Parameters {
			e.Parameters[p.Name] = "x"
		}
		if e.EvalConditions() != nil {
			return
		}
		_ = e.CheckRules()
		for _, r := range parsed.Resources {
			if v, err := e.Eval(r.Properties); err == nil {
				if _, err := json.Marshal(Known(v)); err != nil {
					t.Errorf("what was evaluated cannot be written: %v", err)
				}
			}
		}
	})
}
