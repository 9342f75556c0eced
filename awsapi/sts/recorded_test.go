package sts_test

import (
	"testing"
	"time"

	"showrunner/awsapi"
	"showrunner/awsapi/awstest"
	"showrunner/awsapi/iam"
	"showrunner/awsapi/sts"
	"showrunner/store/record/recordtest"
)

type object = map[string]any

// differences are recorded answers that are not AWS's here, each with why.
var differences = map[string]string{
	"test_iam_role_chaining_override_transitive_tags/override-transitive-tag-error":             "sessions have no tags: nothing is enforced by them",
	"test_iam_role_chaining_override_transitive_tags/override-transitive-tag-case-ignore-error": "as above",
}

const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`

// recordedCalls make the calls of the recorded tests.
func recordedCalls(c *awstest.Client) map[string]func() awstest.Answers {
	role := func(name, policy string) any {
		return c.Inside("iam", "CreateRole", object{"RoleName": name, "AssumeRolePolicyDocument": policy})
	}
	assume := func(arn, session string, more object) any {
		in := object{"RoleArn": arn, "RoleSessionName": session}
		for k, v := range more {
			in[k] = v
		}
		return c.Inside("sts", "AssumeRole", in)
	}
	const arn = "arn:aws:iam::000000000000:role/"
	tags := func(keys ...string) []any {
		out := []any{}
		for _, k := range keys {
			out = append(out, object{"Key": k, "Value": "v"})
		}
		return out
	}
	return map[string]func() awstest.Answers{
		"test_get_federation_token": func() awstest.Answers {
			return awstest.Answers{"get-federation-token": c.Inside("sts", "GetFederationToken", object{"Name": "TestName"})}
		},
		"test_assume_role": func() awstest.Answers {
			const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole"}]}`
			return awstest.Answers{"role-session-name": object{"RoleSessionName": "session-1"}, "create-role": role("role-a", trust), "assume-role": assume(arn+"role-a", "session-1", nil)}
		},
		"test_assume_role_tag_validation": func() awstest.Answers {
			return awstest.Answers{"role-1": role("role-a", trust),
				"invalid-transitive-tag-keys":         assume(arn+"role-a", "s1", object{"Tags": tags("a"), "TransitiveTagKeys": []any{"b"}}),
				"duplicate-tag-keys-different-casing": assume(arn+"role-a", "s1", object{"Tags": tags("a", "A")})}
		},
		"test_iam_role_chaining_override_transitive_tags": func() awstest.Answers {
			return awstest.Answers{"role-1": role("role-a", trust), "role-2": role("role-b", trust)}
		},
		"test_sts_invalid_parameters": func() awstest.Answers {
			return awstest.Answers{"malformed-arn": assume("nothing-valid-in-here", "s1", nil), "no-partition": assume("arn::b:::something/test-role", "s1", nil),
				"no-service": assume("arn:a::::something/test-role", "s1", nil), "not-enough-colons": assume("arn:a:::something/test-role", "s1", nil),
				"no-resource": assume("arn:a:a::aaaaaaaaaa:", "s1", nil), "invalid-session-name": assume(arn+"role-a", "Session1:2", nil)}
		},
	}
}

// TestRecordedAnswers compares what is answered here with what AWS answered.
func TestRecordedAnswers(t *testing.T) {
	t.Parallel()
	keys, err := awsapi.NewKeys("AKIAOWNER", "secret")
	if err != nil {
		t.Fatal(err)
	}
	awstest.Recorded{File: "testdata/recorded.json", Region: awstest.Region, Different: differences, Share: "15 of 17"}.Compare(t, func(test string) func() awstest.Answers {
		return recordedCalls(awstest.New(t, sts.Service(keys, time.Now), iam.Service(&recordtest.Records{}, nil, time.Now)))[test]
	})
}
