// Package applicationautoscaling serves AWS's Application Auto Scaling for the services
// of ECS: how many tasks a service has follows policies and schedules.
//
// It owns the scalable targets with their policies, scheduled actions and activities,
// and the decision how many tasks a metric asks for. A change of capacity is recorded
// as an activity before ECS is asked for it, and asked for again after a crash. It
// refuses to know how tasks are run, what alarms are (step policies are executed by
// them), and every scalable thing but services of ECS.
package applicationautoscaling
