package lambda

import (
	"context"
	"strings"

	"showrunner/awsapi/wire"
)

// updateCode gives a function other code.
func (s *Service) updateCode(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	w, err := s.which(c, in.Text("FunctionName"), "")
	if err != nil {
		return nil, err
	}
	f, err := s.settled(ctx, c.Region, which{name: w.name})
	if err != nil {
		return nil, err
	}
	if in.Has("ImageUri") {
		return nil, invalid("Please don't provide ImageUri when updating a function with packageType Zip.")
	}
	next := f.Latest
	if in.Has("Architectures") {
		next.Settings = next.Settings.With(in.Only("Architectures"))
	}
	if err := s.setCode(ctx, c, &next, *in); err != nil {
		return nil, err
	}
	env, err := s.env(ctx, &f.Latest)
	if err != nil {
		return nil, err
	}
	if in.Is("DryRun") {
		if err := sameRevision(*in, f.Latest.Revision); err != nil {
			return nil, err
		}
		out := s.told(c.Region, &f, &next, "", env)
		return &out, nil
	}
	shown, qualifier := &f.Latest, ""
	f, err = s.change(ctx, c.Region, which{name: w.name}, func(f *function) error {
		v := &f.Latest
		if err := sameRevision(*in, v.Revision); err != nil {
			return err
		}
		v.Code, v.Zip, v.SHA256, v.Size = next.Code, next.Zip, next.SHA256, next.Size
		v.Settings["Architectures"] = next.Settings["Architectures"]
		v.Modified, v.Revision, v.Updating = s.Now().UTC(), newRevision(), true
		shown, qualifier = v, ""
		if in.Is("Publish") {
			shown = f.publish(*v, "", s.Now().UTC())
			qualifier = shown.Number
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := s.told(c.Region, &f, shown, qualifier, env)
	return &out, nil
}

// sameRevision refuses a change of what is not what its caller has seen.
func sameRevision(in object, revision string) error {
	if wanted := in.Text("RevisionId"); wanted != "" && wanted != revision {
		return outdated()
	}
	return nil
}

// updateConfiguration gives a function other settings.
func (s *Service) updateConfiguration(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	w, err := s.which(c, in.Text("FunctionName"), "")
	if err != nil {
		return nil, err
	}
	f, err := s.settled(ctx, c.Region, which{name: w.name})
	if err != nil {
		return nil, err
	}
	given := in.Only(kept...)
	if logging := given.Inner("LoggingConfig"); logging != nil {
		given["LoggingConfig"] = f.Latest.Settings.Inner("LoggingConfig").With(logging)
	}
	settings := f.Latest.Settings.Clone()
	for member, value := range given.Clone() {
		settings[member] = value
	}
	if err := s.check(ctx, c.Region, *in, settings); err != nil {
		return nil, err
	}
	if err := s.findNetwork(ctx, c, given); err != nil {
		return nil, err
	}
	next := version{Layers: f.Latest.Layers, Env: f.Latest.Env, EnvNames: f.Latest.EnvNames, EnvGiven: f.Latest.EnvGiven}
	if in.Has("Layers") {
		if next.Layers, err = s.usedLayers(ctx, c, *in); err != nil {
			return nil, err
		}
	}
	env, err := s.env(ctx, &f.Latest)
	if err != nil {
		return nil, err
	}
	if in.Has("Environment") {
		if env, err = s.keepEnv(ctx, c.Region, w.name, &next, *in); err != nil {
			return nil, err
		}
	}
	old := ""
	after, err := s.change(ctx, c.Region, which{name: w.name}, func(f *function) error {
		v := &f.Latest
		if err := sameRevision(*in, v.Revision); err != nil {
			return err
		}
		old = v.Env
		for member, value := range given.Clone() {
			v.Settings[member] = value
		}
		if in.Has("Layers") {
			v.Layers = next.Layers
		}
		if in.Has("Environment") {
			v.Env, v.EnvNames, v.EnvGiven = next.Env, next.EnvNames, next.EnvGiven
		}
		v.Modified, v.Revision, v.Updating = s.Now().UTC(), newRevision(), true
		return nil
	})
	switch {
	case err != nil && next.Env != f.Latest.Env:
		s.dropEnv(ctx, next.Env)
	case err == nil && !after.envs()[old]:
		s.dropEnv(ctx, old)
	}
	if err != nil {
		return nil, err
	}
	out := s.told(c.Region, &after, &after.Latest, "", env)
	return &out, nil
}

// usedLayers finds the layers that a request names.
func (s *Service) usedLayers(ctx context.Context, c *wire.Call, in object) ([]usedLayer, error) {
	var list []usedLayer
	names := in.Texts("Layers")
	if len(names) > 5 {
		return nil, invalid("Cannot reference more than 5 layers.")
	}
	for _, arn := range names {
		l, err := s.layerByARN(ctx, c, arn)
		if err != nil {
			return nil, err
		}
		for _, other := range list {
			if cut(other.ARN) == cut(arn) {
				return nil, invalid("Two different versions of the same layer are not allowed to be referenced in the same function. %s and %s are versions of the same layer.", other.ARN, arn)
			}
		}
		list = append(list, usedLayer{arn, l.Size, l.Code})
	}
	return list, nil
}

// cut is an ARN without its last part.
func cut(arn string) string { return arn[:max(strings.LastIndexByte(arn, ':'), 0)] }
