package starter

import "io/fs"

// website recognises pages that are ready to be served.
func website(folder fs.FS) (*project, error) {
	for _, dir := range []string{"", "public", "site", "www", "dist", "docs", "static", "html"} {
		index := "index.html"
		if dir != "" {
			index = dir + "/index.html"
		}
		if !has(folder, index) {
			continue
		}
		p := &project{kind: "website", found: []string{index}, build: &buildPart{base: dir}}
		if dir == "" {
			p.build.exclude = []string{FileName, "README.md", ".gitignore"}
			p.notes = append(p.notes, "every file of the repository becomes part of the website but those in exclude-paths; a folder such as public/ keeps the two apart")
		}
		missing := "404.html"
		if dir != "" {
			missing = dir + "/404.html"
		}
		p.notFound = has(folder, missing)
		return p, nil
	}
	return nil, nil
}
