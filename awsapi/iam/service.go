package iam

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

type service struct {
	roles    state.Collection[role]
	policies state.Collection[policy]
	profiles state.Collection[profile]
	members  state.Collection[member] // users and groups
	keys     state.Collection[accessKey]
	values   Values
	now      func() time.Time
}

// Service is the operations of iam that are served. Secrets of access keys are in values.
func Service(records state.Records, values Values, now func() time.Time) wire.Service {
	s := &service{
		roles: state.New[role](records, "aws.iam.roles"), policies: state.New[policy](records, "aws.iam.policies"),
		profiles: state.New[profile](records, "aws.iam.profiles"), members: state.New[member](records, "aws.iam.members"), keys: accessKeys(records), values: values, now: now,
	}
	operations := s.ofRoles()
	maps.Copy(operations, s.ofMembers())
	return wire.Service{Name: "iam", Global: true, Invalid: "ValidationError", Operations: operations}
}

// ofMembers are the operations of users and groups.
func (s *service) ofMembers() map[string]wire.Handler {
	return map[string]wire.Handler{
		"CreateUser":                    wire.HandleObject(s.create(users)),
		"ListUsers":                     wire.HandleObject(s.list(users)),
		"UpdateUser":                    wire.HandleObject(s.update(users)),
		"DeleteUser":                    wire.HandleObject(s.remove(users)),
		"PutUserPolicy":                 wire.HandleObject(s.putPolicy(users)),
		"GetUserPolicy":                 wire.HandleObject(s.getInline(users)),
		"ListUserPolicies":              wire.HandleObject(s.listInline(users)),
		"DeleteUserPolicy":              wire.HandleObject(s.deleteInline(users)),
		"AttachUserPolicy":              wire.HandleObject(s.attachTo(users)),
		"DetachUserPolicy":              wire.HandleObject(s.detachFrom(users)),
		"ListAttachedUserPolicies":      wire.HandleObject(s.listAttachedTo(users)),
		"CreateGroup":                   wire.HandleObject(s.create(groups)),
		"ListGroups":                    wire.HandleObject(s.list(groups)),
		"UpdateGroup":                   wire.HandleObject(s.update(groups)),
		"DeleteGroup":                   wire.HandleObject(s.remove(groups)),
		"PutGroupPolicy":                wire.HandleObject(s.putPolicy(groups)),
		"GetGroupPolicy":                wire.HandleObject(s.getInline(groups)),
		"ListGroupPolicies":             wire.HandleObject(s.listInline(groups)),
		"DeleteGroupPolicy":             wire.HandleObject(s.deleteInline(groups)),
		"AttachGroupPolicy":             wire.HandleObject(s.attachTo(groups)),
		"DetachGroupPolicy":             wire.HandleObject(s.detachFrom(groups)),
		"ListAttachedGroupPolicies":     wire.HandleObject(s.listAttachedTo(groups)),
		"CreateAccessKey":               wire.HandleObject(s.createKey),
		"UpdateAccessKey":               wire.HandleObject(s.updateKey),
		"DeleteAccessKey":               wire.HandleObject(s.deleteKey),
		"GetUser":                       wire.HandleObject(s.getUser),
		"GetGroup":                      wire.HandleObject(s.getGroup),
		"AddUserToGroup":                wire.HandleObject(s.addUser),
		"RemoveUserFromGroup":           wire.HandleObject(s.removeUser),
		"ListGroupsForUser":             wire.HandleObject(s.listGroupsFor),
		"TagUser":                       wire.HandleObject(s.tagUser),
		"UntagUser":                     wire.HandleObject(s.untagUser),
		"ListUserTags":                  wire.HandleObject(s.listUserTags),
		"PutUserPermissionsBoundary":    wire.HandleObject(s.putUserBoundary),
		"DeleteUserPermissionsBoundary": wire.HandleObject(s.deleteUserBoundary),
	}
}

// ofRoles are the operations of roles, policies and profiles, and of the account.
func (s *service) ofRoles() map[string]wire.Handler {
	return map[string]wire.Handler{
		"CreateRole":                    wire.Handle(s.createRole),
		"CreateServiceLinkedRole":       wire.Handle(s.createServiceRole),
		"GetRole":                       wire.Handle(s.getRole),
		"ListRoles":                     wire.Handle(s.listRoles),
		"UpdateRole":                    wire.Handle(s.updateRole),
		"UpdateRoleDescription":         wire.Handle(s.updateDescription),
		"UpdateAssumeRolePolicy":        wire.Handle(s.updateTrust),
		"DeleteRole":                    wire.Handle(s.deleteRole),
		"TagRole":                       wire.Handle(s.tagRole),
		"UntagRole":                     wire.Handle(s.untagRole),
		"ListRoleTags":                  wire.Handle(s.listRoleTags),
		"PutRolePermissionsBoundary":    wire.Handle(s.putBoundary),
		"DeleteRolePermissionsBoundary": wire.Handle(s.deleteBoundary),
		"PutRolePolicy":                 wire.Handle(s.putRolePolicy),
		"GetRolePolicy":                 wire.Handle(s.getRolePolicy),
		"ListRolePolicies":              wire.Handle(s.listRolePolicies),
		"DeleteRolePolicy":              wire.Handle(s.deleteRolePolicy),
		"AttachRolePolicy":              wire.Handle(s.attach),
		"DetachRolePolicy":              wire.Handle(s.detach),
		"ListAttachedRolePolicies":      wire.Handle(s.listAttached),
		"CreatePolicy":                  wire.Handle(s.createPolicy),
		"GetPolicy":                     wire.Handle(s.getPolicy),
		"ListPolicies":                  wire.Handle(s.listPolicies),
		"DeletePolicy":                  wire.Handle(s.deletePolicy),
		"CreatePolicyVersion":           wire.Handle(s.createVersion),
		"GetPolicyVersion":              wire.Handle(s.getVersion),
		"ListPolicyVersions":            wire.Handle(s.listVersions),
		"DeletePolicyVersion":           wire.Handle(s.deleteVersion),
		"CreateInstanceProfile":         wire.Handle(s.createProfile),
		"GetInstanceProfile":            wire.Handle(s.getProfile),
		"ListInstanceProfiles":          wire.Handle(s.listProfiles),
		"ListInstanceProfilesForRole":   wire.Handle(s.listProfilesOf),
		"DeleteInstanceProfile":         wire.Handle(s.deleteProfile),
		"AddRoleToInstanceProfile":      wire.Handle(s.addRole),
		"RemoveRoleFromInstanceProfile": wire.Handle(s.removeRole),
		"ListAccountAliases":            wire.Handle(s.listAliases),
		"ListEntitiesForPolicy":         wire.HandleObject(s.listEntities),
		"TagPolicy":                     wire.Handle(s.tagPolicy),
		"UntagPolicy":                   wire.Handle(s.untagPolicy),
		"ListPolicyTags":                wire.Handle(s.listPolicyTags),
		"GetAccountSummary":             wire.HandleObject(s.accountSummary),
		"GetAccountPasswordPolicy":      wire.HandleObject(noPasswordPolicy),
		"ListAccessKeys":                wire.HandleObject(s.listKeys),
		"ListMFADevices":                wire.HandleObject(s.listDevices),
		"SetDefaultPolicyVersion":       wire.HandleObject(s.setDefaultVersion),
		"SimulatePrincipalPolicy":       wire.HandleObject(s.simulatePrincipal),
		"SimulateCustomPolicy":          wire.HandleObject(s.simulateCustom),
		// None of these can be made here.
		"ListVirtualMFADevices":      wire.Always(wire.Object{"VirtualMFADevices": []any{}, "IsTruncated": false}),
		"ListOpenIDConnectProviders": wire.Always(wire.Object{"OpenIDConnectProviderList": []any{}}),
		"ListSAMLProviders":          wire.Always(wire.Object{"SAMLProviderList": []any{}}),
		"ListServerCertificates":     wire.Always(wire.Object{"ServerCertificateMetadataList": []any{}, "IsTruncated": false}),
	}
}

type none struct{}

type tag struct{ Key, Value string }

// toldTag is a tag as it is told, its value even when it is empty.
type toldTag struct {
	Key   string
	Value *string
}

func tellTags(tags []tag) []toldTag {
	var out []toldTag
	for _, t := range tags {
		out = append(out, toldTag{t.Key, &t.Value})
	}
	return out
}

func notFound(format string, args ...any) error {
	return wire.Errorf("NoSuchEntity", format, args...)
}

func exists(format string, args ...any) error {
	return wire.Errorf("EntityAlreadyExists", format, args...)
}

func inUse(format string, args ...any) error {
	return wire.Errorf("DeleteConflict", format, args...)
}

// created gives the conflict of a record the words of AWS.
func created(err error, format string, args ...any) error {
	if problem.CodeOf(err) == problem.Conflict {
		return exists(format, args...)
	}
	return err
}

// newID is an identifier with AWS's prefix for its kind.
func newID(prefix string) string {
	var b [11]byte
	_, _ = rand.Read(b[:]) // it never fails
	return prefix + base32.StdEncoding.EncodeToString(b[:])[:17]
}

// derivedID is an identifier that follows from a name.
func derivedID(prefix, name string) string {
	sum := sha256.Sum256([]byte(name))
	return prefix + base32.StdEncoding.EncodeToString(sum[:])[:17]
}

func arn(c *wire.Call, kind, path, name string) string {
	return "arn:aws:iam::" + c.Account + ":" + kind + path + name
}

var validPath = regexp.MustCompile(`^(/|/[!-~]+/)$`)

// path is the path of a new thing; none is the root.
func path(given string) (string, error) {
	if given == "" {
		return "/", nil
	}
	if !validPath.MatchString(given) {
		return "", wire.Errorf("ValidationError", "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")
	}
	return given, nil
}

// checkDocument refuses what no policy can be.
func checkDocument(text string) error {
	var d map[string]any
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return wire.Errorf("MalformedPolicyDocument", "This policy contains invalid Json")
	}
	if d["Statement"] == nil {
		return wire.Errorf("MalformedPolicyDocument", "Syntax errors in policy.")
	}
	return nil
}

// checkTrust refuses what no role can be trusted by.
func checkTrust(text string) error {
	if err := checkDocument(text); err != nil {
		return err
	}
	var d map[string]any
	_ = json.Unmarshal([]byte(text), &d) // it was read before
	for _, one := range listOf(d["Statement"]) {
		statement, _ := one.(map[string]any)
		if statement["Resource"] != nil || statement["NotResource"] != nil {
			return wire.Errorf("MalformedPolicyDocument", "Has prohibited field Resource")
		}
		for _, action := range listOf(statement["Action"]) {
			name, _ := action.(string)
			if !strings.Contains(name, "*") && !slices.Contains(trustActions, strings.ToLower(name)) {
				return wire.Errorf("MalformedPolicyDocument", "AssumeRole policy may only specify STS AssumeRole actions.")
			}
		}
	}
	return nil
}

// trustActions are what a role's trust can allow, in lower case.
var trustActions = []string{"sts:assumerole", "sts:assumerolewithsaml", "sts:assumerolewithwebidentity", "sts:tagsession", "sts:setsourceidentity", "sts:setcontext"}

// listOf is a list, or one element as a list.
func listOf(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

// caseless is added where the keys of tags differ by more than the case of their letters.
const caseless = " Please note that Tag keys are case insensitive."

// sameTag refuses tags with the same key.
func sameTag(tags []tag, same func(a, b string) bool, why string) error {
	for i, t := range tags {
		if slices.ContainsFunc(tags[:i], func(o tag) bool { return same(o.Key, t.Key) }) {
			return wire.Errorf("InvalidInput", "Duplicate tag keys found.%s", why)
		}
	}
	return nil
}

func identical(a, b string) bool { return a == b }

// told is a document as IAM answers with it: percent-encoded.
func told(document string) string {
	return strings.ReplaceAll(url.QueryEscape(document), "+", "%20")
}

func putTags(have, more []tag) []tag {
	for _, t := range more {
		if at := slices.IndexFunc(have, func(o tag) bool { return o.Key == t.Key }); at >= 0 {
			have[at] = t
		} else {
			have = append(have, t)
		}
	}
	return have
}

func dropTags(have []tag, keys []string) []tag {
	return slices.DeleteFunc(have, func(t tag) bool { return slices.Contains(keys, t.Key) })
}

type listInput struct {
	Marker, PathPrefix string
	MaxItems           *int64
}

// page is a page of a list that is sorted by key, and where it goes on.
func page[T any](list []T, key func(T) string, in listInput) (out []T, more bool, marker string, err error) {
	after, ok := wire.OpenToken(in.Marker)
	if !ok {
		return nil, false, "", wire.Errorf("ValidationError", "Invalid Marker.")
	}
	most := wire.Page(in.MaxItems, 100)
	out = []T{}
	for _, one := range list {
		if key(one) <= after {
			continue
		}
		if len(out) == most {
			return out, true, wire.Token(key(out[most-1])), nil
		}
		out = append(out, one)
	}
	return out, false, "", nil
}

type aliasesInput struct {
	Marker   string
	MaxItems *int64
}

type aliasesOutput struct {
	AccountAliases []string
	IsTruncated    bool
}

func (s *service) listAliases(context.Context, *wire.Call, *aliasesInput) (*aliasesOutput, error) {
	return &aliasesOutput{AccountAliases: []string{}}, nil
}
