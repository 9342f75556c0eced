package ecs

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// defaultCluster is the cluster of requests that name none.
const defaultCluster = "default"

func clusterOf(in object, member string) string { return cmp.Or(last(in.Text(member)), defaultCluster) }

func noCluster() error { return wire.Errorf("ClusterNotFoundException", "Cluster not found.") }

// cluster finds an active cluster by its name. Errors: ClusterNotFoundException.
func (s *Service) cluster(ctx context.Context, region, name string) (cluster, error) {
	c, err := s.clusters.Get(ctx, region+"/"+name)
	if problem.CodeOf(err) == problem.NotFound || err == nil && c.Status != active {
		return c, noCluster()
	}
	return c, err
}

func (s *Service) clusterARN(region, name string) string { return s.arn(region, "cluster/"+name) }

func (s *Service) createCluster(ctx context.Context, c *wire.Call, in object) (object, error) {
	name := cmp.Or(in.Text("clusterName"), defaultCluster)
	if !plainName(name) {
		return nil, invalid("Identifier was of invalid length or contains invalid characters. It may hold up to 255 letters, digits, - and _.")
	}
	if err := checkProviders(in.Texts("capacityProviders")); err != nil {
		return nil, err
	}
	made, err := s.clusters.Put(ctx, c.Region+"/"+name, func(have *cluster) error {
		if have.Status != active {
			*have = cluster{Name: name, Status: active, Created: s.Now().UTC(), Kept: in.Only("settings", "configuration", "capacityProviders", "defaultCapacityProviderStrategy", "serviceConnectDefaults").Clone(), Tags: tagsOf(in)}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	told, err := s.tellCluster(ctx, c.Region, made, true)
	return object{"cluster": told}, err
}

// plainName says whether a cluster or a service may be called so.
func plainName(name string) bool {
	return name != "" && len(name) <= 255 && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// tellCluster is a cluster as it is described: its counts are what runs now.
func (s *Service) tellCluster(ctx context.Context, region string, c cluster, tags bool) (object, error) {
	services, running, pending := 0, 0, 0
	if c.Status == active {
		list, err := s.list(ctx, region, c.Name)
		if err != nil {
			return nil, err
		}
		groups, err := s.groups(ctx, region, len(list))
		if err != nil {
			return nil, err
		}
		for _, v := range list {
			if v.Status != inactive {
				services++
				t := total(v.tallies(groups))
				running, pending = running+t.running, pending+t.pending
			}
		}
		alone, waiting, err := s.countRuns(ctx, region, c.Name)
		if err != nil {
			return nil, err
		}
		running, pending = running+alone, pending+waiting
	}
	o := object{"clusterArn": s.clusterARN(region, c.Name), "clusterName": c.Name, "status": c.Status, "registeredContainerInstancesCount": 0, "runningTasksCount": running, "pendingTasksCount": pending,
		"activeServicesCount": services, "statistics": []any{}, "tags": []any{}, "settings": []any{object{"name": "containerInsights", "value": "disabled"}}, "capacityProviders": []any{}, "defaultCapacityProviderStrategy": []any{}}.With(c.Kept)
	if tags {
		o["tags"] = wire.List(c.Tags)
	}
	return o, nil
}

func (s *Service) describeClusters(ctx context.Context, c *wire.Call, in object) (object, error) {
	names := in.Texts("clusters")
	if len(names) == 0 {
		names = []string{defaultCluster}
	}
	if len(names) > 100 {
		return nil, invalid("Clusters cannot have more than 100 elements.")
	}
	found, failures := []any{}, []any{}
	for _, name := range names {
		have, err := s.clusters.Get(ctx, c.Region+"/"+last(name))
		if problem.CodeOf(err) == problem.NotFound {
			failures = append(failures, missing(s.clusterARN(c.Region, last(name))))
			continue
		}
		if err != nil {
			return nil, err
		}
		told, err := s.tellCluster(ctx, c.Region, have, includes(in, "TAGS"))
		if err != nil {
			return nil, err
		}
		found = append(found, told)
	}
	return object{"clusters": found, "failures": failures}, nil
}

func includes(in object, what string) bool { return slices.Contains(in.Texts("include"), what) }

func (s *Service) listClusters(ctx context.Context, c *wire.Call, in object) (object, error) {
	var all []string
	for e, err := range s.clusters.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		if e.Doc.Status == active {
			all = append(all, s.clusterARN(c.Region, e.Doc.Name))
		}
	}
	slices.Sort(all)
	return page(in, "clusterArns", all)
}

func (s *Service) updateCluster(ctx context.Context, c *wire.Call, in object) (object, error) {
	return s.changeCluster(ctx, c, in, "settings", "configuration", "serviceConnectDefaults")
}

func (s *Service) updateSettings(ctx context.Context, c *wire.Call, in object) (object, error) {
	return s.changeCluster(ctx, c, in, "settings")
}

// changeCluster keeps members of a request as a cluster's.
func (s *Service) changeCluster(ctx context.Context, c *wire.Call, in object, members ...string) (object, error) {
	name := clusterOf(in, "cluster")
	changed, err := s.clusters.Update(ctx, c.Region+"/"+name, func(have *cluster) error {
		if have.Status != active {
			return noCluster()
		}
		have.Kept = have.Kept.With(in.Only(members...).Clone())
		return nil
	})
	if problem.CodeOf(err) == problem.NotFound {
		err = noCluster()
	}
	if err != nil {
		return nil, err
	}
	told, err := s.tellCluster(ctx, c.Region, changed, true)
	return object{"cluster": told}, err
}

func (s *Service) deleteCluster(ctx context.Context, c *wire.Call, in object) (object, error) {
	name := clusterOf(in, "cluster")
	if _, err := s.clusters.Get(ctx, c.Region+"/"+name); problem.CodeOf(err) == problem.NotFound {
		return nil, noCluster()
	}
	list, err := s.list(ctx, c.Region, name)
	if err != nil {
		return nil, err
	}
	for _, v := range list {
		switch v.Status {
		case active:
			return nil, wire.Errorf("ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active.")
		case draining:
			return nil, wire.Errorf("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
		}
	}
	if running, pending, err := s.countRuns(ctx, c.Region, name); err != nil {
		return nil, err
	} else if running+pending > 0 {
		return nil, wire.Errorf("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
	}
	gone, err := s.clusters.Update(ctx, c.Region+"/"+name, func(have *cluster) error { have.Status = inactive; return nil })
	if err != nil {
		return nil, err
	}
	told, err := s.tellCluster(ctx, c.Region, gone, true)
	return object{"cluster": told}, err
}

// listContainerInstances answers for a cluster that has none: tasks run in the region.
func (s *Service) listContainerInstances(ctx context.Context, c *wire.Call, in object) (object, error) {
	_, err := s.cluster(ctx, c.Region, clusterOf(in, "cluster"))
	return object{"containerInstanceArns": []any{}}, err
}
