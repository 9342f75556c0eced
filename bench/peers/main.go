// Command peers compares Showrunner with other programs for the same work, in
// turns and on one machine. The ratios are the result.
//
//	cd bench && go run ./peers engine -peer
package main

import (
	"showrunner/bench/command"
	"showrunner/bench/peers/aws"
	"showrunner/bench/peers/balancer"
	"showrunner/bench/peers/engine"
	"showrunner/bench/peers/metrics"
	"showrunner/bench/peers/site"
)

func main() {
	command.Run("peers",
		command.Part{Name: "engine", Summary: "durable transitions a second, beside River and Temporal", Main: engine.Main},
		command.Part{Name: "balancer", Summary: "a region's load balancer, beside nginx and HAProxy", Main: balancer.Main},
		command.Part{Name: "aws", Summary: "the AWS-compatible endpoint, beside moto", Main: aws.Main},
		command.Part{Name: "metrics", Summary: "10,000 series at 10 s, beside Prometheus", Main: metrics.Main},
		command.Part{Name: "site", Summary: "deploying a site of small files, beside aws s3 sync", Main: site.Main},
	)
}
