package execution

// EventTypes are the types of the events that the engine writes. Other packages take
// the names from here. A test finds a type that is missing.
func EventTypes() []string {
	return []string{
		"execution.started", "execution.canceling", "execution.restarted",
		"execution.succeeded", "execution.failed", "execution.canceled",
		"stage.started", "stage.held", "stage.waiting", "stage.task", "stage.progress", "stage.signaled", "stage.retrying",
		"stage.unknown", "stage.parked", "stage.canceling",
		"stage.succeeded", "stage.failed", "stage.canceled", "stage.skipped",
	}
}
