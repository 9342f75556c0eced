package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"showrunner/bench/world"
	"showrunner/execution"
)

// delivery carries the releases out and looks at what is there after each.
type delivery struct {
	*world.World
	rate    int
	commits map[string]string // version → commit
	wrong   int
}

func (d *delivery) check(err error) {
	if err != nil {
		d.wrong++
		fmt.Println("  WRONG:", err)
	}
}

func (d *delivery) all(ctx context.Context, module string) error {
	tree, err := world.NewRepository(ctx, filepath.Join(d.Dir, "tree"))
	if err != nil {
		return err
	}
	bare := filepath.Join(d.Dir, "service.git")
	if _, err := tree.Git(ctx, "init", "--quiet", "--bare", "--initial-branch=main", bare); err != nil {
		return err
	}
	if err := d.Apply(ctx, pipelines(bare)); err != nil {
		return err
	}
	fmt.Printf("%s into %d regions\n", module, len(world.Regions()))
	fmt.Printf("%-22s %-8s %-8s %8s  %s  %s\n", "what", "version", "commit", "took", world.LoadHead(), "stages")
	for n, r := range releases {
		if err := source(ctx, module, r.version, tree.Dir); err != nil {
			return err
		}
		if d.commits[r.version], err = tree.CommitAll(ctx, r.version); err != nil {
			return err
		}
		if _, err := tree.Git(ctx, "push", "--quiet", bare, "main"); err != nil {
			return err
		}
		if err := d.row(ctx, r.strategy, r.version, n > 0, cluster+"/"+r.strategy, "run", cluster+"/"+r.strategy, "--watch"); err != nil {
			return err
		}
	}
	if err := d.row(ctx, "rollback", "v2.25.0", true, cluster+"/rollback", "rollback", cluster); err != nil {
		return err
	}
	return d.row(ctx, "rollback --to", "v2.26.0", true, cluster+"/rollback", "rollback", cluster, "--to", d.commits["v2.26.0"])
}

// row runs one command under load and prints what it came to.
func (d *delivery) row(ctx context.Context, what, version string, loaded bool, name string, args ...string) error {
	var took time.Duration
	act := func() error {
		began := time.Now()
		said, err := d.CLI(ctx, args...)
		took = time.Since(began)
		if err == nil && said.Exit != 0 {
			err = fmt.Errorf("exit %d: %s%s", said.Exit, said.Out, said.Err)
		}
		return err
	}
	var load world.Load
	var err error
	if loaded {
		load, err = world.AttackWith(ctx, d.rate, d.Target(cluster, "GET", "/get", nil), d.Target(cluster, "POST", "/post", nil), act)
	} else {
		err = act() // nothing serves yet
	}
	if err != nil {
		return fmt.Errorf("%s of %s: %w", what, version, err)
	}
	var e execution.Execution
	if err := d.Read(ctx, &e, "executions", "show", name); err != nil {
		return err
	}
	var stages []string
	for _, s := range e.Stages {
		if s.Started != nil && s.Ended != nil {
			stages = append(stages, s.Name+" "+s.Ended.Sub(*s.Started).Round(time.Millisecond).String())
		}
	}
	fmt.Printf("%-22s %-8s %-8s %8s  %s  %s\n", what, version, d.commits[version], took.Round(time.Millisecond), load.Row(), strings.Join(stages, ", "))
	if load.Safe.Failed > 0 {
		d.check(fmt.Errorf("%d requests failed: %v", load.Safe.Failed, load.Safe.Failures))
	}
	for _, region := range world.Regions() {
		d.check(d.serves(ctx, region, what, version))
	}
	return nil
}

// serves says what a region serves that it should not.
func (d *delivery) serves(ctx context.Context, region, what, version string) error {
	groups, err := d.Cloud.ServerGroups(ctx, region, cluster)
	if err != nil {
		return err
	}
	found, others := false, 0
	for _, g := range groups {
		switch {
		case g.Spec.Version == d.commits[version] && g.Enabled() && g.Serving() == g.Capacity.Desired && g.Serving() > 0:
			found = true
		case g.Enabled():
			others++
		}
	}
	if !found || (others > 0) != (what == "none") {
		return fmt.Errorf("%s: after %s of %s it is served: %v, by %d other versions too", region, what, version, found, others)
	}
	return nil
}
