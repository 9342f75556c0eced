package ec2

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"showrunner/awsapi/wire"
)

type object = wire.Object

// newID is a random identifier: 17 hexadecimal digits after the prefix.
func newID(prefix string) string {
	var b [9]byte
	_, _ = rand.Read(b[:]) // it never fails
	return prefix + hex.EncodeToString(b[:])[:17]
}

// madeID is the identifier of what a call makes. What another service of the
// endpoint asks for again has the same one.
func madeID(c *wire.Call, prefix string) string {
	if c.Token != "" {
		return derivedID(prefix, c.Region, c.Token)
	}
	return newID(prefix)
}

// derivedID is an identifier that follows from others.
func derivedID(prefix string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return prefix + hex.EncodeToString(sum[:])[:17]
}

// digest is what tells two requests apart.
func digest(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return "" // not reached: a request is plain data
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:16])
}

// dryRun is the answer to a request that asks whether it would be carried out.
func dryRun(in object) error {
	if in.Is("DryRun") {
		return &wire.Error{Code: "DryRunOperation", Message: "Request would have succeeded, but DryRun flag is set.", Status: 412}
	}
	return nil
}

func missingParameter(name string) error {
	return wire.Errorf("MissingParameter", "The request must contain the parameter %s", name)
}

func conflict(format string, args ...any) error {
	return wire.Errorf("InvalidParameterCombination", format, args...)
}

// answer is one page of a list as an answer's member.
func answer(in object, member string, all []object, key func(object) string) (object, error) {
	paging := wire.Paging{Token: "NextToken", Most: "MaxResults", Least: 5, Greatest: 1000,
		BadToken: func(v string) error { return wire.Errorf("InvalidNextToken", "The token '%s' is invalid", v) },
		BadCount: func(v string) error {
			return wire.Errorf("InvalidParameterValue", "Value ( %s ) for parameter maxResults is invalid. Expecting a value between 5 and 1000.", v)
		}}
	if strings.HasPrefix(member, "LaunchTemplate") {
		paging.Least, paging.Greatest = 1, 200
	}
	out, next, err := wire.Cut(paging, in, all, key)
	return object{member: wire.List(out)}.With(object{"NextToken": next}), err
}

// by is the key of a list by a member.
func by(member string) func(object) string { return func(o object) string { return o.Text(member) } }
