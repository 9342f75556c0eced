package ecs

import (
	"errors"
	"slices"

	"showrunner/awsapi/wire"
)

// checkDefinition refuses a task definition that AWS refuses, and names what cannot be
// had here.
func checkDefinition(in object) error {
	containers := in.Objects("containerDefinitions")
	if len(containers) == 0 {
		return refusal("Container list cannot be empty.")
	}
	for _, c := range containers {
		switch {
		case c.Text("name") == "":
			return refusal("Container.name should not be null or empty.")
		case c.Text("image") == "":
			return refusal("Container.image should not be null or empty.")
		case !in.Has("memory") && !c.Has("memory") && !c.Has("memoryReservation"):
			return refusal("Invalid setting for container '%s'. At least one of 'memory' or 'memoryReservation' must be specified.", c.Text("name"))
		case c.Has("memory") && c.Number("memory", 0) < 6:
			return refusal("Invalid setting for container '%s'. The memory must be at least 6 MiB.", c.Text("name"))
		case c.Has("essential") && !c.Is("essential") && len(containers) == 1:
			return refusal("A task definition must have at least one essential container.")
		}
		if err := checkContainer(c); err != nil {
			return err
		}
		if err := checkLogs(c); err != nil {
			return err
		}
	}
	if slices.Contains(in.Texts("requiresCompatibilities"), "FARGATE") {
		if err := fargate(in); err != nil {
			return err
		}
	}
	for _, no := range []struct {
		asked bool
		what  string
	}{
		{len(containers) > 1, "more than one container in a task: a task is one process"},
		{len(in.Objects("volumes")) > 0, "volumes"},
		{in.Has("proxyConfiguration"), "proxyConfiguration"},
		{len(in.Objects("inferenceAccelerators")) > 0, "inferenceAccelerators"},
		{len(in.Objects("placementConstraints")) > 0, "placementConstraints"},
		{slices.Contains(in.Texts("requiresCompatibilities"), "EXTERNAL"), "the compatibility EXTERNAL"},
	} {
		if no.asked {
			return unsupported(no.what)
		}
	}
	return nil
}

// checkContainer names what a container cannot have here.
func checkContainer(c object) error {
	for _, member := range []string{"mountPoints", "volumesFrom", "secrets", "environmentFiles", "links", "dependsOn", "extraHosts", "resourceRequirements", "credentialSpecs", "dnsServers",
		"dnsSearchDomains", "systemControls", "ulimits"} {
		if list, _ := c[member].([]any); len(list) > 0 {
			return unsupported(member + " of the container " + c.Text("name"))
		}
	}
	for _, member := range []string{"workingDirectory", "user", "hostname", "firelensConfiguration", "linuxParameters"} {
		if c.Has(member) {
			return unsupported(member + " of the container " + c.Text("name"))
		}
	}
	for _, member := range []string{"privileged", "disableNetworking", "interactive", "pseudoTerminal"} {
		if c.Is(member) {
			return unsupported(member + " of the container " + c.Text("name"))
		}
	}
	return nil
}

// fargate says why a task definition cannot be run as FARGATE; nil when it can.
func fargate(in object) error {
	switch {
	case in.Text("networkMode") != "awsvpc":
		return refusal("Fargate only supports network mode ‘awsvpc’.")
	case in.Text("cpu") == "":
		return refusal("Fargate requires that 'cpu' be defined at the task level.")
	case in.Text("memory") == "":
		return refusal("Fargate requires that 'memory' be defined at the task level.")
	}
	return nil
}

// checkService names what a service cannot have here, before anything is made.
func checkService(in object) error {
	kind := in.Inner("deploymentController").Text("type")
	configuration := in.Inner("deploymentConfiguration")
	for _, no := range []struct {
		asked bool
		what  string
	}{
		{len(in.Objects("serviceRegistries")) > 0, "serviceRegistries (service discovery)"},
		{in.Inner("serviceConnectConfiguration").Is("enabled"), "serviceConnectConfiguration"},
		{len(in.Objects("volumeConfigurations")) > 0, "volumeConfigurations"},
		{len(in.Objects("placementConstraints")) > 0, "placementConstraints"},
		{in.Text("schedulingStrategy") == "DAEMON", "the scheduling strategy DAEMON: there are no instances of the caller's"},
		{kind != "" && kind != "ECS", "the deployment controller " + kind + "; there is ECS"},
		{configuration.Inner("alarms").Is("enable"), "deploymentConfiguration.alarms"},
		{in.Text("launchType") == "EXTERNAL", "the launch type EXTERNAL"},
		{in.Is("enableExecuteCommand"), "enableExecuteCommand"},
	} {
		if no.asked {
			return unsupported(no.what)
		}
	}
	for _, p := range in.Objects("capacityProviderStrategy") {
		if name := p.Text("capacityProvider"); name != "FARGATE" && name != "FARGATE_SPOT" {
			return unsupported("the capacity provider " + name)
		}
	}
	if in.Has("launchType") && len(in.Objects("capacityProviderStrategy")) > 0 {
		return invalid("Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.")
	}
	return nil
}

// inWords is EC2's error about a subnet in the words of ECS.
func inWords(err error, subnet string) error {
	var e *wire.Error
	if errors.As(err, &e) {
		return invalid("Error retrieving subnet information for [%s]: %s (ErrorCode: %s)", subnet, e.Message, e.Code)
	}
	return err
}
