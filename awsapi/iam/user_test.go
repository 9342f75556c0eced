package iam_test

import (
	"slices"
	"testing"
	"time"

	"showrunner/awsapi/awstest"
	"showrunner/awsapi/iam"
	"showrunner/store/record/recordtest"
)

// overHTTP is a client that sends forms.
func overHTTP(t *testing.T) *awstest.Client {
	t.Helper()
	return awstest.New(t, iam.Service(&recordtest.Records{}, nil, time.Now))
}

func refused(t *testing.T, c *awstest.Client, code, operation string, form ...string) {
	t.Helper()
	if body, got, message := c.Ask("iam", operation, form...); got != code {
		t.Errorf("%s %v: %s %s %s, want %s", operation, form, got, message, body, code)
	}
}

const readObjects = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::site/*"}]}`

// decisions are what a simulation says, in the order of what it was asked.
func decisions(body string) []string {
	return awstest.All(body, "<EvalDecision>", "</EvalDecision>")
}

func TestUsersAndGroupsAreKept(t *testing.T) {
	t.Parallel()
	c := overHTTP(t)
	c.Get("iam", "CreateUser", "UserName", "ann", "Path", "/staff/", "Tags.member.1.Key", "team", "Tags.member.1.Value", "web")
	refused(t, c, "EntityAlreadyExists", "CreateUser", "UserName", "Ann")
	c.Get("iam", "CreateGroup", "GroupName", "readers")
	c.Get("iam", "AddUserToGroup", "GroupName", "readers", "UserName", "ann")
	refused(t, c, "NoSuchEntity", "AddUserToGroup", "GroupName", "readers", "UserName", "bob")
	c.Get("iam", "AttachGroupPolicy", "GroupName", "readers", "PolicyArn", "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
	c.Get("iam", "PutUserPolicy", "UserName", "ann", "PolicyName", "own", "PolicyDocument", readObjects)
	if got := awstest.Between(c.Get("iam", "GetUser", "UserName", "ann"), "<Arn>", "</Arn>"); got != "arn:aws:iam::000000000000:user/staff/ann" {
		t.Error(got)
	}
	for operation, want := range map[string][]string{
		"GetGroup": {"ann"}, "ListGroupsForUser": {"readers"}, "ListUserPolicies": {"own"}, "ListAttachedGroupPolicies": {"AmazonS3ReadOnlyAccess"}, "ListUserTags": {"team"},
	} {
		member := map[string]string{"GetGroup": "UserName", "ListGroupsForUser": "GroupName", "ListUserPolicies": "member", "ListAttachedGroupPolicies": "PolicyName", "ListUserTags": "Key"}[operation]
		body := c.Get("iam", operation, "UserName", "ann", "GroupName", "readers")
		if got := awstest.All(body, "<"+member+">", "</"+member+">"); !slices.Equal(got, want) {
			t.Errorf("%s: %v in %s", operation, got, body)
		}
	}
	for _, operation := range []string{"DeleteUser", "DeleteGroup"} {
		refused(t, c, "DeleteConflict", operation, "UserName", "ann", "GroupName", "readers")
	}
	c.Get("iam", "UpdateUser", "UserName", "ann", "NewUserName", "anna")
	if got := awstest.Between(c.Get("iam", "GetGroup", "GroupName", "readers"), "<UserName>", "</UserName>"); got != "anna" {
		t.Errorf("the group has %s", got)
	}
	c.Get("iam", "RemoveUserFromGroup", "GroupName", "readers", "UserName", "anna")
	c.Get("iam", "DeleteUserPolicy", "UserName", "anna", "PolicyName", "own")
	c.Get("iam", "DeleteUser", "UserName", "anna")
	refused(t, c, "NoSuchEntity", "GetUser", "UserName", "anna")
}

func TestPoliciesAreSimulated(t *testing.T) {
	t.Parallel()
	c := overHTTP(t)
	c.Get("iam", "CreateUser", "UserName", "ann")
	c.Get("iam", "CreateGroup", "GroupName", "g")
	c.Get("iam", "AddUserToGroup", "GroupName", "g", "UserName", "ann")
	c.Get("iam", "PutUserPolicy", "UserName", "ann", "PolicyName", "own", "PolicyDocument", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["s3:*"],"Resource":"arn:aws:s3:::home/${aws:username}/*"},
		{"Effect":"Deny","Action":"s3:DeleteObject","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"false"}}}]}`)
	c.Get("iam", "PutGroupPolicy", "GroupName", "g", "PolicyName", "all", "PolicyDocument", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","NotAction":"iam:*","Resource":"arn:aws:ec2:*:*:instance/i-?"}}`)
	simulate := func(action, resource string, more ...string) []string {
		return decisions(c.Get("iam", "SimulatePrincipalPolicy", append([]string{"PolicySourceArn", "arn:aws:iam::000000000000:user/ann", "ActionNames.member.1", action, "ResourceArns.member.1", resource}, more...)...))
	}
	mfa := []string{"ContextEntries.member.1.ContextKeyName", "aws:multifactorauthpresent", "ContextEntries.member.1.ContextKeyType", "boolean", "ContextEntries.member.1.ContextKeyValues.member.1", "false"}
	for _, one := range []struct {
		action, resource string
		more             []string
		want             string
	}{
		{"s3:GetObject", "arn:aws:s3:::home/ann/x", nil, "allowed"},
		{"S3:getobject", "arn:aws:s3:::home/ann/x", nil, "allowed"},
		{"s3:GetObject", "arn:aws:s3:::home/bob/x", nil, "implicitDeny"},
		{"s3:DeleteObject", "arn:aws:s3:::home/ann/x", nil, "allowed"},
		{"s3:DeleteObject", "arn:aws:s3:::home/ann/x", mfa, "explicitDeny"},
		{"ec2:StopInstances", "arn:aws:ec2:us-east-1:1:instance/i-1", nil, "allowed"},
		{"ec2:StopInstances", "arn:aws:ec2:us-east-1:1:instance/i-12", nil, "implicitDeny"},
		{"iam:GetUser", "arn:aws:ec2:us-east-1:1:instance/i-1", nil, "implicitDeny"},
	} {
		if got := simulate(one.action, one.resource, one.more...); !slices.Equal(got, []string{one.want}) {
			t.Errorf("%s on %s with %v is %v", one.action, one.resource, one.more, got)
		}
	}
	c.Get("iam", "PutUserPermissionsBoundary", "UserName", "ann", "PermissionsBoundary", "arn:aws:iam::aws:policy/AmazonEC2ReadOnlyAccess")
	if got := simulate("s3:GetObject", "arn:aws:s3:::home/ann/x"); !slices.Equal(got, []string{"implicitDeny"}) {
		t.Errorf("beyond the boundary it is %v", got)
	}
	refused(t, c, "NoSuchEntity", "SimulatePrincipalPolicy", "PolicySourceArn", "arn:aws:iam::000000000000:user/bob", "ActionNames.member.1", "s3:GetObject")

	body := c.Get("iam", "SimulateCustomPolicy", "PolicyInputList.member.1", readObjects, "ActionNames.member.1", "s3:PutObject", "ActionNames.member.2", "s3:GetObject", "ResourceArns.member.1", "arn:aws:s3:::site/a")
	if got := decisions(body); !slices.Equal(got, []string{"implicitDeny", "allowed"}) {
		t.Errorf("the policies by themselves say %v", got)
	}
}

func TestConditionsOfPolicies(t *testing.T) {
	t.Parallel()
	c := overHTTP(t)
	for _, one := range []struct{ condition, key, value, want string }{
		{`{"StringLike":{"s3:prefix":["a/*","b"]}}`, "s3:prefix", "a/1", "allowed"},
		{`{"StringNotEquals":{"s3:prefix":"a"}}`, "s3:prefix", "a", "implicitDeny"},
		{`{"StringNotEquals":{"s3:prefix":"a"}}`, "other", "x", "allowed"},
		{`{"StringEquals":{"s3:prefix":"a"}}`, "other", "x", "implicitDeny"},
		{`{"StringEqualsIfExists":{"s3:prefix":"a"}}`, "other", "x", "allowed"},
		{`{"NumericLessThanEquals":{"s3:max-keys":"10"}}`, "s3:max-keys", "10", "allowed"},
		{`{"NumericGreaterThan":{"s3:max-keys":10}}`, "s3:max-keys", "10", "implicitDeny"},
		{`{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`, "aws:SourceIp", "10.1.2.3", "allowed"},
		{`{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`, "aws:SourceIp", "10.1.2.3", "implicitDeny"},
		{`{"DateGreaterThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}`, "aws:CurrentTime", "2026-01-01T00:00:00Z", "allowed"},
		{`{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::*"}}`, "aws:SourceArn", "arn:aws:s3:::x", "allowed"},
		{`{"Null":{"aws:TokenIssueTime":"true"}}`, "other", "x", "allowed"},
		{`{"ForAnyValue:StringEquals":{"aws:TagKeys":["a"]}}`, "aws:TagKeys", "a", "allowed"},
		{`{"Unheard":{"aws:TagKeys":["a"]}}`, "aws:TagKeys", "a", "implicitDeny"},
	} {
		policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":` + one.condition + `}]}`
		body := c.Get("iam", "SimulateCustomPolicy", "PolicyInputList.member.1", policy, "ActionNames.member.1", "s3:ListBucket", "ContextEntries.member.1.ContextKeyName", one.key, "ContextEntries.member.1.ContextKeyType", "string", "ContextEntries.member.1.ContextKeyValues.member.1", one.value)
		if got := decisions(body); !slices.Equal(got, []string{one.want}) {
			t.Errorf("%s with %s=%s is %v", one.condition, one.key, one.value, got)
		}
	}
}
