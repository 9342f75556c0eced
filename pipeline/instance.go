package pipeline

// InstanceVariables lists what the environment of every instance of a service
// holds beside the stage's env: the contract between a service and any cloud.
func InstanceVariables() []Output {
	return []Output{
		{"HOST", StringOutput, "the address to listen on"},
		{"PORT", IntOutput, "the port to listen on"},
		{"SHOWRUNNER_REGION", StringOutput, "the region, such as `us-east-1`"},
		{"SHOWRUNNER_ZONE", StringOutput, "the zone within it, such as `us-east-1a`"},
		{"SHOWRUNNER_INSTANCE", StringOutput, "the identifier of this instance, as `showrunner instances` shows it"},
		{"SHOWRUNNER_SERVER_GROUP", StringOutput, "its server group, such as `storefront-prod-v007`"},
		{"SHOWRUNNER_VERSION", StringOutput, "the version: the short commit of the run's source, or `#` and the run's number"},
	}
}
