package monkey

import (
	"fmt"
	"slices"
	"strings"

	"showrunner/pipeline"
)

// FileClusters are the clusters that the deploy stages of a pipeline file make, for
// a simulation without a running system: each with the capacity that is desired.
// A stage without waves deploys to all regions. Notes say what is only known at run
// time.
func FileClusters(doc *pipeline.Document, allRegions []string) (clusters []Cluster, notes []string) {
	for _, p := range doc.Pipelines {
		for _, stage := range p.Stages {
			if stage.Kind != "deploy" {
				continue
			}
			config, err := pipeline.DecodeConfig("deploy", stage.With)
			d, ok := config.(pipeline.Deploy)
			if err != nil || !ok || strings.Contains(d.Cluster+d.Account, "${{") {
				notes = append(notes, fmt.Sprintf("stage %s of pipeline %s is left out: what it deploys is known at run time; name its cluster with --cluster", stage.Name, p.Name))
				continue
			}
			account := d.Account
			if account == "" {
				account = pipeline.DefaultAccount
			}
			regions := allRegions
			if len(d.Waves) > 0 {
				regions = nil
				for _, w := range d.Waves {
					regions = append(regions, w.Regions...)
				}
			}
			for _, region := range regions {
				c := NewCluster(doc.Application, account, region, d.Cluster)
				c.Instances = d.Capacity.Desired
				same := func(b Cluster) bool { b.Instances = c.Instances; return b == c }
				if !slices.ContainsFunc(clusters, same) {
					clusters = append(clusters, c)
				}
			}
		}
	}
	return clusters, notes
}
