package resource

import "context"

// ownTypes are the types that need no service.
func ownTypes() []*Type {
	return []*Type{
		{Name: "AWS::CDK::Metadata", Properties: []string{"Analytics"}, Kept: []string{"Analytics"}, Handler: nothing{}, Identify: func(r *Request, random string) string { return UUID(random) }},
		{Name: "AWS::CloudFormation::WaitConditionHandle", Handler: nothing{}, Identify: func(r *Request, random string) string {
			return "https://cloudformation-waitcondition-" + r.Region + ".s3.amazonaws.com/" + UUID(random)
		}},
	}
}

// nothing acts for types that are nothing but their record in the stack.
type nothing struct{ unfindable }

func (nothing) Create(_ context.Context, r *Request) (Made, error) {
	return Made{Physical: r.Physical}, nil
}

func (nothing) Update(_ context.Context, r *Request) (Made, error) {
	return Made{Physical: r.Physical}, nil
}

func (nothing) Delete(context.Context, *Request) error { return nil }
