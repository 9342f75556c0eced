package lambda

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
)

// publish makes the present code and settings a version; the last version when nothing
// has changed since.
func (f *function) publish(v version, description string, now time.Time) *version {
	v.From = v.Settings.Text("Description")
	if description != "" {
		v.Settings = v.Settings.Clone()
		v.Settings["Description"] = description
	}
	if n := len(f.Versions); n > 0 {
		last := &f.Versions[n-1]
		if last.From == v.From && sameButDescription(last, &f.Latest) {
			return last
		}
	}
	v.Settings = v.Settings.Clone()
	v.Number, v.Modified, v.Revision = number(f.Next), now, newRevision()
	v.Creating, v.Updating = v.Creating || v.Updating, false
	f.Latest.Revision = newRevision()
	f.Next++
	f.Versions = append(f.Versions, v)
	return &f.Versions[len(f.Versions)-1]
}

// sameButDescription says whether two versions would run the same.
func sameButDescription(a, b *version) bool {
	if a.SHA256 != b.SHA256 || a.Env != b.Env || !slices.Equal(a.Layers, b.Layers) {
		return false
	}
	x, y := a.Settings.Clone(), b.Settings.Clone()
	delete(x, "Description")
	delete(y, "Description")
	return reflect.DeepEqual(x, y)
}

func (s *Service) publish(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	w, err := s.which(c, in.Text("FunctionName"), "")
	if err != nil {
		return nil, err
	}
	if _, err := s.settled(ctx, c.Region, which{name: w.name}); err != nil {
		return nil, err
	}
	var shown *version
	f, err := s.change(ctx, c.Region, which{name: w.name}, func(f *function) error {
		if err := sameRevision(*in, f.Latest.Revision); err != nil {
			return err
		}
		if sum := in.Text("CodeSha256"); sum != "" && sum != f.Latest.SHA256 {
			return invalid("CodeSHA256 (%s) is different from current CodeSHA256 in $LATEST (%s). Please try again with the CodeSHA256 in $LATEST.", sum, f.Latest.SHA256)
		}
		shown = f.publish(f.Latest, in.Text("Description"), s.Now().UTC())
		return nil
	})
	if err != nil {
		return nil, err
	}
	env, err := s.env(ctx, shown)
	if err != nil {
		return nil, err
	}
	out := s.told(c.Region, &f, shown, shown.Number, env)
	return &out, nil
}

func (s *Service) listVersions(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	f, _, _, err := s.found(ctx, c, in.Only("FunctionName"))
	if err != nil {
		return nil, err
	}
	first, err := s.listed(ctx, c.Region, &f, &f.Latest, latest)
	if err != nil {
		return nil, err
	}
	first["place"] = "0"
	list := []object{first}
	for n := range f.Versions {
		one, err := s.listed(ctx, c.Region, &f, &f.Versions[n], f.Versions[n].Number)
		if err != nil {
			return nil, err
		}
		num := f.Versions[n].Number
		one["place"] = strings.Repeat("~", len(num)) + num
		list = append(list, one)
	}
	out, err := page(*in, "Versions", list, "place")
	if err != nil {
		return nil, err
	}
	for _, one := range out.Objects("Versions") {
		delete(one, "place")
	}
	return out, nil
}

// deleteVersion deletes one version of a function.
func (s *Service) deleteVersion(ctx context.Context, c *wire.Call, w which) error {
	if w.qualifier == latest {
		return invalid("$LATEST version cannot be deleted without deleting the function.")
	}
	var env string
	f, err := s.change(ctx, c.Region, which{name: w.name}, func(f *function) error {
		if f.alias(w.qualifier) != nil || !numeric.MatchString(w.qualifier) {
			return invalid("Deletion of aliases is not currently supported.")
		}
		for _, a := range f.Aliases {
			if _, second := a.Weights[w.qualifier]; second || a.Version == w.qualifier {
				return conflict("Version %s cannot be deleted, because the alias %s refers to it.", w.qualifier, a.Name)
			}
		}
		if v := f.find(w.qualifier); v != nil {
			env = v.Env
		}
		f.Versions = slices.DeleteFunc(f.Versions, func(v version) bool { return v.Number == w.qualifier })
		delete(f.Policies, w.qualifier)
		delete(f.Events, w.qualifier)
		return nil
	})
	if err == nil && !f.envs()[env] {
		s.dropEnv(ctx, env)
	}
	return err
}

func (s *Service) noAlias(region string, w which, name string) error {
	return missing("Cannot find alias arn: %s", s.arn(region, w.name, name))
}

// weights are the checked weights of an alias whose first version is given.
func (s *Service) weights(region string, f *function, routing object, first string) (map[string]float64, error) {
	given := routing.Inner("AdditionalVersionWeights")
	out := map[string]float64{}
	for v, w := range given {
		weight, _ := w.(float64)
		out[v] = weight
	}
	if len(out) == 0 {
		return nil, nil
	}
	if len(out) > 1 {
		return nil, invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
	}
	for v := range out {
		switch {
		case v == first:
			return nil, invalid("Invalid function version %s. Function version %s is already included in routing configuration.", v, v)
		case v == latest || first == latest:
			return nil, invalid("$LATEST is not supported for an alias pointing to more than 1 version")
		case f.find(v) == nil:
			return nil, missing("Function not found: %s", s.arn(region, f.Name, v))
		}
	}
	return out, nil
}

func (s *Service) createAlias(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	w, err := s.which(c, in.Text("FunctionName"), "")
	if err != nil {
		return nil, err
	}
	name := in.Text("Name")
	a := alias{Name: name, Version: in.Text("FunctionVersion"), Description: in.Text("Description"), Revision: newRevision()}
	f, err := s.change(ctx, c.Region, which{w.name, a.Version}, func(f *function) error {
		if f.alias(name) != nil {
			return conflict("Alias already exists: %s", s.arn(c.Region, w.name, name))
		}
		if f.find(a.Version) == nil {
			return missing("Function not found: %s", s.arn(c.Region, w.name, a.Version))
		}
		var err error
		if a.Weights, err = s.weights(c.Region, f, in.Inner("RoutingConfig"), a.Version); err != nil {
			return err
		}
		f.Aliases = append(f.Aliases, a)
		slices.SortFunc(f.Aliases, func(x, y alias) int { return strings.Compare(x.Name, y.Name) })
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := s.toldAlias(c.Region, &f, &a)
	return &out, nil
}

func (s *Service) getAlias(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	w, err := s.which(c, in.Text("FunctionName"), "")
	if err != nil {
		return nil, err
	}
	f, err := s.load(ctx, c.Region, w)
	if err != nil {
		return nil, s.aliasGone(err, c.Region, w, in.Text("Name"))
	}
	a := f.alias(in.Text("Name"))
	if a == nil {
		return nil, s.noAlias(c.Region, w, in.Text("Name"))
	}
	out := s.toldAlias(c.Region, &f, a)
	return &out, nil
}

// aliasGone is the error of an alias whose function is not there: AWS names the alias.
func (s *Service) aliasGone(err error, region string, w which, name string) error {
	if wire.CodeOf(err) == "ResourceNotFoundException" {
		return s.noAlias(region, w, name)
	}
	return err
}

func (s *Service) listAliases(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	f, _, _, err := s.found(ctx, c, in.Only("FunctionName"))
	if err != nil {
		return nil, err
	}
	var list []object
	for n := range f.Aliases {
		a := &f.Aliases[n]
		_, second := a.Weights[in.Text("FunctionVersion")]
		if v := in.Text("FunctionVersion"); v == "" || v == a.Version || second {
			list = append(list, s.toldAlias(c.Region, &f, a))
		}
	}
	return page(*in, "Aliases", list, "Name")
}

func (s *Service) updateAlias(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	w, err := s.which(c, in.Text("FunctionName"), "")
	if err != nil {
		return nil, err
	}
	var changed alias
	f, err := s.change(ctx, c.Region, which{name: w.name}, func(f *function) error {
		a := f.alias(in.Text("Name"))
		if a == nil {
			return s.noAlias(c.Region, w, in.Text("Name"))
		}
		if err := sameRevision(*in, a.Revision); err != nil {
			return err
		}
		next := *a
		next.Weights = maps.Clone(a.Weights)
		if v := in.Text("FunctionVersion"); v != "" {
			if f.find(v) == nil {
				return missing("Function not found: %s", s.arn(c.Region, w.name, v))
			}
			next.Version = v
		}
		if in.Has("Description") {
			next.Description = in.Text("Description")
		}
		var err error
		if in.Has("RoutingConfig") {
			next.Weights, err = s.weights(c.Region, f, in.Inner("RoutingConfig"), next.Version)
		} else if len(next.Weights) > 0 {
			weights := map[string]any{}
			for v, weight := range next.Weights {
				weights[v] = weight
			}
			_, err = s.weights(c.Region, f, object{"AdditionalVersionWeights": weights}, next.Version)
		}
		if err != nil {
			return err
		}
		next.Revision = newRevision()
		*a, changed = next, next
		return nil
	})
	if err != nil {
		return nil, s.aliasGoneFor(err, c.Region, w, in.Text("Name"))
	}
	out := s.toldAlias(c.Region, &f, &changed)
	return &out, nil
}

// aliasGoneFor is aliasGone for a function that is not there alone.
func (s *Service) aliasGoneFor(err error, region string, w which, name string) error {
	if err != nil && err.Error() == s.noFunction(region, which{name: w.name}).Error() {
		return s.noAlias(region, w, name)
	}
	return err
}

func (s *Service) deleteAlias(ctx context.Context, c *wire.Call, in *object) (*struct{}, error) {
	w, err := s.which(c, in.Text("FunctionName"), "")
	if err != nil {
		return nil, err
	}
	name := in.Text("Name")
	_, err = s.change(ctx, c.Region, which{name: w.name}, func(f *function) error {
		f.Aliases = slices.DeleteFunc(f.Aliases, func(a alias) bool { return a.Name == name })
		delete(f.Policies, name)
		delete(f.Events, name)
		return nil
	})
	if wire.CodeOf(err) == "ResourceNotFoundException" {
		err = nil // what is not there is deleted
	}
	return &struct{}{}, err
}
