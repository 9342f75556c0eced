package server

import (
	"showrunner/cloud"
	"showrunner/cloud/localcloud"
	"showrunner/problem"
)

// accounts are the clouds that a control plane drives: an explicit list.
type accounts struct {
	names  []string
	byName map[string]*cloud.Account
}

// newAccounts makes the account "local" over the regions of a data folder.
func newAccounts(data, edge string, regions []string, outages localcloud.Outages, options cloud.Options) (*accounts, error) {
	config := localcloud.ClientConfig{Edge: edge, Outages: outages, Now: options.Now}
	for _, r := range regions {
		config.Regions = append(config.Regions, localcloud.Endpoint{Region: r, Data: data})
	}
	local, err := localcloud.NewClient(config)
	if err != nil {
		return nil, err
	}
	return &accounts{names: []string{"local"}, byName: map[string]*cloud.Account{"local": cloud.NewAccount("local", local, options)}}, nil
}

// Account finds an account. Errors: not_found.
func (a *accounts) Account(name string) (*cloud.Account, error) {
	if acc, ok := a.byName[name]; ok {
		return acc, nil
	}
	return nil, problem.New(problem.NotFound, "account", "there is no account %q", name).WithHelp("this control plane has: local")
}

// Names lists the accounts.
func (a *accounts) Names() []string { return a.names }
