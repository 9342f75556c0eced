package cli

import "github.com/spf13/cobra"

// commandGroup is one section of the help.
type commandGroup struct {
	id, title string
	commands  []func(*app) *cobra.Command
}

// commandGroups lists every public command, in the order of the help.
var commandGroups = []commandGroup{
	{"start", "Start:", []func(*app) *cobra.Command{newDemoCommand, newUpCommand, newDoctorCommand, newOpenCommand, newGamedayCommand}},
	{"file", "Pipeline files:", []func(*app) *cobra.Command{newInitCommand, newValidateCommand, newSchemaCommand, newImportCommand, newApplyCommand, newApplicationsCommand, newTriggersCommand, newPlanCommand, newBuildCommand}},
	{"run", "Executions:", []func(*app) *cobra.Command{newRunCommand, newExecutionsCommand, newApproveCommand, newRejectCommand, newJudgeCommand, newCanaryCommand, newExplainCommand}},
	{"fleet", "What runs:", []func(*app) *cobra.Command{newClustersCommand, newInstancesCommand, newLogsCommand, newSitesCommand, newRegionsCommand, newDriftCommand, newRollbackCommand, newChaosCommand,
		newResizeCommand, newEnableCommand, newDisableCommand, newDestroyCommand, newTerminateCommand, newStandbyCommand, newProtectCommand, newSetHealthCommand, newCompleteHookCommand, newHeartbeatCommand, newSuspendCommand, newResumeCommand}},
	{"aws", "Clients of AWS:", []func(*app) *cobra.Command{newAWSCommand}},
	{"operate", "Operate:", []func(*app) *cobra.Command{newSecretCommand, newFreezeCommand, newEventsCommand, newSubscriptionsCommand, newNotifyCommand, newAuditCommand, newDeliveriesCommand, newBackupCommand, newRestoreCommand, newVersionCommand}},
	{"process", "Processes, which up starts:", []func(*app) *cobra.Command{newControlCommand, newEdgeCommand, newRegionCommand}},
}

// hiddenCommands are the processes that other commands start.
var hiddenCommands = []func(*app) *cobra.Command{newBuildSupervisorCommand, newBuildGuardCommand, newSampleServiceCommand}
