package control

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/source"
)

// Repository looks at the repositories of a pipeline file that are folders of this
// machine; relative ones are relative to base.
func Repository(base string) func(url string) (message, help string) {
	return func(url string) (message, help string) {
		absolute, err := absoluteURL(url, base)
		if err != nil {
			return problem.Text(err), problem.HelpOf(err)
		}
		remote, err := source.ParseRemote(absolute, "/")
		if err != nil {
			return problem.Text(err), problem.HelpOf(err)
		}
		if remote.Scheme != "file" {
			return "", ""
		}
		if !strings.HasPrefix(absolute, "file:") && !filepath.IsAbs(absolute) {
			return fmt.Sprintf("%q is neither a URL nor a path that begins with / or ./", url), "write ./" + url + " for a folder beside the pipeline file"
		}
		return source.LocalFault(remote.Path)
	}
}

// absoluteRepositories makes the relative repository paths of a file absolute: "." in a file
// means the folder that the file is in, not the one the control plane runs in.
func absoluteRepositories(doc *pipeline.Document, base string) error {
	for i := range doc.Pipelines {
		p := &doc.Pipelines[i]
		for j := range p.Stages {
			if p.Stages[j].Kind != "git" {
				continue
			}
			with, err := absoluteStage(p.Stages[j].With, base)
			if err != nil {
				return err
			}
			p.Stages[j].With = with
		}
		for j := range p.Triggers {
			if poll := p.Triggers[j].Poll; poll != nil {
				url, err := absoluteURL(poll.URL, base)
				if err != nil {
					return err
				}
				poll.URL = url
			}
		}
	}
	return nil
}

func absoluteStage(with json.RawMessage, base string) (json.RawMessage, error) {
	var m map[string]any
	if err := json.Unmarshal(with, &m); err != nil {
		return nil, problem.Wrap(err, problem.Internal, opApply, "reading a git stage")
	}
	url, ok := m["url"].(string)
	if !ok {
		return with, nil
	}
	absolute, err := absoluteURL(url, base)
	if err != nil || absolute == url {
		return with, err
	}
	m["url"] = absolute
	return json.Marshal(m)
}

func absoluteURL(url, base string) (string, error) {
	relative := url == "." || url == ".." || strings.HasPrefix(url, "./") || strings.HasPrefix(url, "../")
	if !relative {
		return url, nil
	}
	if !filepath.IsAbs(base) {
		return "", problem.New(problem.Invalid, opApply, "the repository %q is relative, and nothing says to which folder", url).
			WithHelp("hand the file over with `showrunner apply -f FILE`, which tells its folder, or write an absolute path or a URL")
	}
	return filepath.Join(base, url), nil
}
