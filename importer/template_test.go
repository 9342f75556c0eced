package importer

import (
	"strings"
	"testing"
)

// evaluate resolves one value within a small template.
func evaluate(t *testing.T, value string) (string, *input) {
	t.Helper()
	v, err := parse("test", []byte(`
Parameters:
  Name: {Type: String, Default: web}
  List: {Type: CommaDelimitedList, Default: "a, b,c"}
  Hidden: {Type: String, NoEcho: true, Default: hunter2}
  Open: {Type: String}
  Stored: {Type: "AWS::SSM::Parameter::Value<String>", Default: /app/level}
Mappings:
  Sizes: {us-west-2: {small: 1, names: [x, y]}}
Conditions:
  Yes: !Equals [!Ref Name, web]
  No: !Not [!Condition Yes]
  Both: !And [!Condition Yes, !Not [!Condition No]]
  Either: !Or [!Condition No, !Condition Both]
  Loop: !Condition Loop
Resources:
  SiteBucket1234ABCD: {Type: "AWS::S3::Bucket"}
  Named: {Type: "AWS::S3::Bucket", Properties: {BucketName: !Sub "${Name}.example.com"}}
  Role: {Type: "AWS::IAM::Role"}
Value: `+value))
	if err != nil {
		t.Fatal(err)
	}
	in := newInput(Options{Parameters: map[string]string{"imported": "from-elsewhere"}})
	top := in.root(v)
	resources, ok := top.get("Resources").raw.(*object)
	if !ok {
		t.Fatal("the template has no resources")
	}
	in.tmpl = newTemplate(in, top, resources)
	return unmark(top.get("Value").text()), in
}

func TestIntrinsicFunctions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ value, want string }{
		{`plain`, "plain"},
		{`!Ref Name`, "web"},
		{`{"Ref": "AWS::Region"}`, "us-west-2"},
		{`!Ref AWS::AccountId`, "000000000000"},
		{`!Join ["-", [a, !Ref Name, !Ref "AWS::NoValue", 3, true]]`, "a-web-3-true"},
		{`!Join ["+", !Ref List]`, "a+b+c"},
		{`!Sub "x-${Name}-${AWS::Region}-${!Literal}"`, "x-web-us-west-2-${Literal}"},
		{`!Sub ["${A}/${Name}/${B}", {A: one, B: !Ref Name}]`, "one/web/web"},
		{`!Sub "${Named.Arn}"`, "arn:aws:s3:::web.example.com"},
		{`!Sub "${SiteBucket1234ABCD}"`, "site-bucket"},
		{`!GetAtt SiteBucket1234ABCD.WebsiteURL`, "http://site-bucket.localhost:8080"},
		{`!GetAtt [Named, DomainName]`, "web-example-com.localhost:8080"},
		{`!GetAtt Role.Arn`, "arn:aws:iam:us-west-2:000000000000:Role"},
		{`!Select [1, [a, b]]`, "b"},
		{`!Select ["0", !Split ["/", "p/q"]]`, "p"},
		{`!FindInMap [Sizes, !Ref "AWS::Region", small]`, "1"},
		{`!Join [",", !FindInMap [Sizes, us-west-2, names]]`, "x,y"},
		{`{"Fn::FindInMap": [Sizes, nowhere, small, {DefaultValue: none}]}`, "none"},
		{`!If [Yes, a, b]`, "a"},
		{`!If [No, a, !If [Either, c, d]]`, "c"},
		{`!If [Loop, a, b]`, "b"},
		{`!Base64 hi`, "aGk="},
		{`!Select [2, !GetAZs ""]`, "us-west-2c"},
		{`!ImportValue imported`, "from-elsewhere"},
		{`{"Fn::ToJsonString": {a: !Ref Name, b: [1]}}`, `{"a":"web","b":[1]}`},
		{`{"Fn::Length": !Ref List}`, "3"},
		{`!Ref Hidden`, "${{ secrets.Hidden }}"},
		{`!Ref Stored`, `${{ secrets.app-level }}`},
		{`!Ref Open`, "${{ parameters.Open }}"},
		{`"{{resolve:secretsmanager:prod/db:SecretString:password::}}"`, `${{ secrets.prod-db.password }}`},
		{`"{{resolve:ssm:/a/b:3}}"`, `${{ secrets.a-b }}`},
		{`!Join ["", ["{{resolve:secretsmanager:", tok, ":SecretString:::}}"]]`, "${{ secrets.tok }}"},
		{`"literal ${{ secrets.X }}"`, `literal ${{ "${{" }} secrets.X }}`},
	} {
		if got, _ := evaluate(t, c.value); got != c.want {
			t.Errorf("%s = %q, want %q", c.value, got, c.want)
		}
	}
}

func TestUnresolvedFunctionsAreNoted(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		`!Ref Nobody`, `!GetAtt Nobody.Arn`, `!Select [9, [a]]`, `!Join [a]`, `!Split ["", x]`, `!FindInMap [Sizes, nowhere, small]`,
		`!ImportValue other`, `{"Fn::Cidr": [a, 1]}`, `!GetAtt Role.RoleId`, `!If [Undefined, a, b]`, `!If [Loop, a, b]`, `!Transform {Name: x}`,
	} {
		if _, in := evaluate(t, value); len(in.notes) == 0 {
			t.Errorf("%s left no note", value)
		}
	}
}

// The value of a NoEcho parameter must not reach the file, whatever is given.
func TestHiddenParameterStaysHidden(t *testing.T) {
	t.Parallel()
	got, in := evaluate(t, `!Sub "${Hidden}"`)
	if strings.Contains(got, "hunter2") || len(in.secrets) != 1 {
		t.Errorf("%q, secrets %v", got, in.secrets)
	}
}

// Nested functions must not produce a text of unbounded size.
func TestNestedGrowthIsBounded(t *testing.T) {
	t.Parallel()
	value := `x`
	for range 40 {
		value = `!Sub ["${a}${a}${a}${a}", {a: ` + value + `}]`
	}
	got, in := evaluate(t, value)
	if len(got) > maxText {
		t.Errorf("%d bytes", len(got))
	}
	if len(in.notes) == 0 {
		t.Error("no note")
	}
}
