package resource

// encrypted is a bucket's default encryption as S3 takes it.
func encrypted(v any) node {
	n := node{name: "ServerSideEncryptionConfiguration"}
	rules, _ := at(v, "ServerSideEncryptionConfiguration").([]any)
	for _, r := range rules {
		rule := node{name: "Rule"}
		if d, ok := at(r, "ServerSideEncryptionByDefault").(map[string]any); ok {
			rule.children = append(rule.children, tree("ApplyServerSideEncryptionByDefault", d, nil))
		}
		if key, ok := asObject(r)["BucketKeyEnabled"]; ok {
			rule.children = append(rule.children, leaf("BucketKeyEnabled", key))
		}
		n.children = append(n.children, rule)
	}
	return n
}

// lifecycle is a bucket's lifecycle rules as S3 takes them.
func lifecycle(v any) node {
	n := node{name: "LifecycleConfiguration"}
	rules, _ := at(v, "Rules").([]any)
	for _, r := range rules {
		n.children = append(n.children, lifecycleRule(asObject(r)))
	}
	return n
}

func lifecycleRule(r map[string]any) node {
	rule := node{name: "Rule"}
	add := func(n node) { rule.children = append(rule.children, n) }
	if id, ok := r["Id"]; ok {
		add(leaf("ID", id))
	}
	add(lifecycleFilter(r))
	add(leaf("Status", r["Status"]))
	end := node{name: "Expiration"}
	for _, p := range [][2]string{{"ExpirationInDays", "Days"}, {"ExpirationDate", "Date"}, {"ExpiredObjectDeleteMarker", "ExpiredObjectDeleteMarker"}} {
		if value, ok := r[p[0]]; ok {
			end.children = append(end.children, leaf(p[1], value))
		}
	}
	if end.children != nil {
		add(end)
	}
	if days, ok := r["NoncurrentVersionExpirationInDays"]; ok {
		add(node{name: "NoncurrentVersionExpiration", children: []node{leaf("NoncurrentDays", days)}})
	}
	if e, ok := r["NoncurrentVersionExpiration"]; ok {
		add(tree("NoncurrentVersionExpiration", e, nil))
	}
	if a, ok := r["AbortIncompleteMultipartUpload"]; ok {
		add(tree("AbortIncompleteMultipartUpload", a, nil))
	}
	moves := rename{"TransitionInDays": "Days", "TransitionDate": "Date"}
	for _, t := range several(r["Transition"], r["Transitions"]) {
		add(tree("Transition", t, moves))
	}
	for _, t := range several(r["NoncurrentVersionTransition"], r["NoncurrentVersionTransitions"]) {
		add(tree("NoncurrentVersionTransition", t, rename{"TransitionInDays": "NoncurrentDays"}))
	}
	return rule
}

// lifecycleFilter is what a rule is for, in the form that holds everything.
func lifecycleFilter(r map[string]any) node {
	all := node{name: "And"}
	for _, name := range []string{"Prefix", "ObjectSizeGreaterThan", "ObjectSizeLessThan"} {
		if v, ok := r[name]; ok {
			all.children = append(all.children, leaf(name, v))
		}
	}
	tags, _ := r["TagFilters"].([]any)
	for _, t := range tags {
		all.children = append(all.children, tree("Tag", t, nil))
	}
	switch len(all.children) {
	case 0:
		return node{name: "Filter", children: []node{leaf("Prefix", "")}}
	case 1:
		return node{name: "Filter", children: all.children}
	}
	return node{name: "Filter", children: []node{all}}
}

// several are the members of properties that hold one or a list.
func several(values ...any) []any {
	var out []any
	for _, v := range values {
		switch x := v.(type) {
		case nil:
		case []any:
			out = append(out, x...)
		default:
			out = append(out, x)
		}
	}
	return out
}
