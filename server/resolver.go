package server

import (
	"showrunner/execution"
	"showrunner/pipeline"
)

// resolver evaluates expressions for the engine with the language's own evaluator.
type resolver struct{}

// Parameters implements execution.Resolver.
func (resolver) Parameters(def *pipeline.Pipeline, given map[string]string) (map[string]string, error) {
	return pipeline.ResolveParameters(*def, given)
}

// When implements execution.Resolver.
func (resolver) When(s *pipeline.Stage, sc execution.Scope) (bool, error) {
	return pipeline.EvalWhen(*s, scopeOf(s, sc))
}

// Config implements execution.Resolver.
func (resolver) Config(s *pipeline.Stage, sc execution.Scope) (pipeline.Config, error) {
	return pipeline.Resolve(*s, scopeOf(s, sc))
}

// scopeOf makes the plain data that expressions see.
func scopeOf(s *pipeline.Stage, sc execution.Scope) pipeline.Scope {
	out := pipeline.Scope{
		Parameters: sc.Parameters, Trigger: sc.Trigger, Stages: map[string]pipeline.StageScope{}, Artifacts: map[string]string{},
		Execution: pipeline.ExecutionScope{ID: sc.Execution.ID, Number: sc.Execution.Number, Application: sc.Execution.Application,
			Pipeline: sc.Execution.Pipeline, StartedBy: sc.Execution.Request.By},
	}
	for _, name := range sc.Names {
		st, ok := sc.Stage(name)
		if !ok {
			continue
		}
		out.Stages[name] = pipeline.StageScope{Kind: st.Kind, Status: string(st.Status), Outputs: st.Outputs}
		for artifact, ref := range st.Artifacts {
			out.Artifacts[artifact] = string(ref)
		}
	}
	return out
}
