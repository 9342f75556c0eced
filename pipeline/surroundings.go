package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// DefaultAccount is the account of a stage that names none.
const DefaultAccount = "local"

// Surroundings are what a file is checked against besides the language. What is
// not known refuses nothing.
type Surroundings struct {
	// Accounts has the names of each account's regions; empty: not known.
	Accounts map[string][]string
	// Deploy says why the cloud of a region cannot carry a rollout out; "" when it
	// can. nil: not known.
	Deploy func(account, region string, d Deploy) string
	// Repository says why an address of a Git repository cannot be read from here, and
	// what to write; "" when it can, or when that is not known. nil: not known.
	Repository func(url string) (message, help string)
	// Unreachable is what a repository that cannot be read is; empty: an error.
	Unreachable Severity
	// Buildspec checks buildspecs that stand in the file; nil: they are not checked.
	Buildspec BuildspecCheck
}

// repositoryRule reports a repository that cannot be read from here.
func (c *checks) repositoryRule(n *yaml.Node, url string) {
	if c.around.Repository == nil || url == "" || hasExpression(url) {
		return
	}
	if message, help := c.around.Repository(url); message != "" {
		c.reportWith(n, Diagnostic{Severity: c.around.Unreachable, Code: CodeValue, Message: c.where + ": " + message, Help: help})
	}
}

// accountRule refuses an account that the control plane does not have.
func (c *checks) accountRule(with *yaml.Node, account string) {
	if len(c.around.Accounts) == 0 || account == "" || hasExpression(account) {
		return
	}
	if _, ok := c.around.Accounts[account]; ok {
		return
	}
	known := sortedKeys(c.around.Accounts)
	c.reportWith(find(with, "account"), Diagnostic{Code: CodeValue, Suggestion: c.nearest(account, known),
		Message: fmt.Sprintf("%s: there is no account %q; this control plane has %s", c.where, account, strings.Join(known, ", "))})
}

// regionRule refuses a region that the account does not have.
func (c *checks) regionRule(with *yaml.Node, account, region string, path ...any) {
	known, ok := c.regionsOf(account)
	if !ok || hasExpression(region) || slices.Contains(known, region) {
		return
	}
	c.reportWith(find(with, path...), Diagnostic{Code: CodeValue, Suggestion: c.nearest(region, known),
		Message: fmt.Sprintf("%s: there is no region %q; this control plane has %s", c.where, region, strings.Join(known, ", "))})
}

// regionsOf lists the regions of an account; not ok when they are not known.
func (c *checks) regionsOf(account string) (known []string, ok bool) {
	if account == "" {
		account = DefaultAccount
	}
	known = c.around.Accounts[account] // an account that is an expression is none of them
	return known, len(known) > 0
}

// cloudRule refuses a rollout that the cloud of a region cannot carry out. It
// reports the first such region: the others of an account mostly say the same.
func (c *checks) cloudRule(with *yaml.Node, v Deploy) {
	at := find(with, "strategy")
	known, ok := c.regionsOf(v.Account)
	if !ok || c.around.Deploy == nil {
		return
	}
	account := v.Account
	if account == "" {
		account = DefaultAccount
	}
	var regions []string
	for _, w := range v.Waves {
		regions = append(regions, w.Regions...)
	}
	if len(v.Waves) == 0 {
		regions = known
	}
	for _, region := range regions {
		if !slices.Contains(known, region) {
			continue // an expression, or refused already
		}
		if reason := c.around.Deploy(account, region, v); reason != "" {
			c.reportWith(at, Diagnostic{Code: CodeConflict, Message: c.where + ": " + reason, Help: "choose another strategy, such as red-black, or another account"})
			return
		}
	}
}
