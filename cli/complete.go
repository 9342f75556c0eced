package cli

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"showrunner/cloud"
	"showrunner/control"
	"showrunner/execution"
)

// completionLimit is how long the shell waits for the control plane's names.
const completionLimit = time.Second

// placeholder finds the words of a Use line that stand for arguments.
var placeholder = regexp.MustCompile(`\[?[A-Z]+(?:[/|][A-Z]+)*\]?`)

// complete has the shell offer the names that the running control plane knows,
// wherever a command takes one. What an argument stands for, its Use line says.
func (a *app) complete(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		a.complete(sub)
	}
	_, line, _ := strings.Cut(cmd.Use, " ")
	line, _, _ = strings.Cut(line, " --")
	var arguments []string
	for _, word := range placeholder.FindAllString(line, -1) {
		arguments = append(arguments, strings.Trim(word, "[]"))
	}
	if cmd.ValidArgsFunction != nil || len(arguments) == 0 || a.namesOf(arguments[0]) == nil {
		return
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(arguments) || a.configure(cmd) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := a.namesOf(arguments[len(args)])
		if names == nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionLimit)
		defer cancel()
		all, err := names(ctx, args)
		if err != nil {
			cobra.CompDebugln(err.Error(), false)
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var fitting []string
		for _, name := range all {
			if strings.HasPrefix(name, begun) {
				fitting = append(fitting, clean(name))
			}
		}
		return fitting, cobra.ShellCompDirectiveNoFileComp
	}
}

// namesOf finds what may stand for an argument, given those before it; nil when
// that is nothing that the control plane knows. Text after a tab is a description.
func (a *app) namesOf(argument string) func(ctx context.Context, before []string) ([]string, error) {
	switch argument {
	case "APP":
		return func(ctx context.Context, _ []string) (names []string, err error) {
			err = a.eachApplication(ctx, func(app control.Application) { names = append(names, app.Name) })
			return names, err
		}
	case "APP/PIPELINE":
		return func(ctx context.Context, _ []string) (names []string, err error) {
			err = a.eachApplication(ctx, func(app control.Application) {
				for _, p := range app.Pipelines {
					names = append(names, app.Name+"/"+p.Name)
				}
			})
			return names, err
		}
	case "APP|APP/PIPELINE":
		return func(ctx context.Context, before []string) ([]string, error) {
			names, err := a.namesOf("APP")(ctx, before)
			if err != nil {
				return nil, err
			}
			more, err := a.namesOf("APP/PIPELINE")(ctx, before)
			return append(names, more...), err
		}
	case "EXECUTION":
		return func(ctx context.Context, _ []string) (names []string, err error) {
			var page execution.Page
			if err := a.connect().Do(ctx, http.MethodGet, "/executions?limit=50", nil, &page); err != nil {
				return nil, err
			}
			for _, e := range page.Executions {
				names = append(names, e.ID)
			}
			return names, nil
		}
	case "STAGE":
		return func(ctx context.Context, before []string) (names []string, err error) {
			id, err := a.executionID(ctx, before[0])
			if err != nil {
				return nil, err
			}
			var e execution.Execution
			if err := a.connect().Do(ctx, http.MethodGet, "/executions/"+seg(id), nil, &e); err != nil {
				return nil, err
			}
			for _, s := range e.Stages {
				names = append(names, s.Name)
			}
			return names, nil
		}
	case "CLUSTER", "CLUSTER|SITE":
		return func(ctx context.Context, _ []string) (names []string, err error) {
			var clusters []control.Cluster
			if err := a.connect().Do(ctx, http.MethodGet, "/clusters", nil, &clusters); err != nil {
				return nil, err
			}
			for _, c := range clusters {
				names = append(names, c.Name)
			}
			if argument == "CLUSTER" {
				return names, nil
			}
			sites, err := a.namesOf("SITE")(ctx, nil)
			return append(names, sites...), err
		}
	case "SITE":
		return func(ctx context.Context, _ []string) (names []string, err error) {
			var sites []control.SiteStatus
			if err := a.connect().Do(ctx, http.MethodGet, "/sites", nil, &sites); err != nil {
				return nil, err
			}
			for _, s := range sites {
				names = append(names, s.Name)
			}
			return names, nil
		}
	case "INSTANCE":
		return func(ctx context.Context, _ []string) (names []string, err error) {
			var instances []cloud.Instance
			if err := a.connect().Do(ctx, http.MethodGet, "/instances", nil, &instances); err != nil {
				return nil, err
			}
			for _, i := range instances {
				names = append(names, string(i.ID))
			}
			return names, nil
		}
	}
	return nil
}

func (a *app) eachApplication(ctx context.Context, f func(control.Application)) error {
	var all []control.Application
	if err := a.connect().Do(ctx, http.MethodGet, "/applications", nil, &all); err != nil {
		return err
	}
	for _, app := range all {
		f(app)
	}
	return nil
}
