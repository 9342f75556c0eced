package codebuild

import (
	"encoding/json"
	"strings"
	"time"

	"showrunner/awsapi/wire"
)

type object = map[string]any

// settings are a project as a request gives it; what is nil is not given.
type settings struct {
	Name                    string          `json:"name"`
	Description             *string         `json:"description,omitempty"`
	Source                  *source         `json:"source,omitempty"`
	SecondarySources        []source        `json:"secondarySources,omitempty"`
	SourceVersion           *string         `json:"sourceVersion,omitempty"`
	SecondarySourceVersions []sourceVersion `json:"secondarySourceVersions,omitempty"`
	Artifacts               *artifacts      `json:"artifacts,omitempty"`
	SecondaryArtifacts      []artifacts     `json:"secondaryArtifacts,omitempty"`
	Cache                   any             `json:"cache,omitempty"`
	Environment             *environment    `json:"environment,omitempty"`
	ServiceRole             *string         `json:"serviceRole,omitempty"`
	TimeoutInMinutes        *int64          `json:"timeoutInMinutes,omitempty"`
	QueuedTimeoutInMinutes  *int64          `json:"queuedTimeoutInMinutes,omitempty"`
	EncryptionKey           *string         `json:"encryptionKey,omitempty"`
	Tags                    []tag           `json:"tags,omitempty"`
	VpcConfig               any             `json:"vpcConfig,omitempty"`
	BadgeEnabled            *bool           `json:"badgeEnabled,omitempty"`
	LogsConfig              any             `json:"logsConfig,omitempty"`
	FileSystemLocations     []any           `json:"fileSystemLocations,omitempty"`
	BuildBatchConfig        any             `json:"buildBatchConfig,omitempty"`
	ConcurrentBuildLimit    *int64          `json:"concurrentBuildLimit,omitempty"`
}

type source struct {
	Type                string `json:"type"`
	Location            string `json:"location,omitempty"`
	Buildspec           string `json:"buildspec,omitempty"`
	SourceIdentifier    string `json:"sourceIdentifier,omitempty"`
	GitCloneDepth       *int64 `json:"gitCloneDepth,omitempty"`
	InsecureSsl         bool   `json:"insecureSsl"`
	ReportBuildStatus   *bool  `json:"reportBuildStatus,omitempty"`
	GitSubmodulesConfig any    `json:"gitSubmodulesConfig,omitempty"`
	Auth                any    `json:"auth,omitempty"`
	BuildStatusConfig   any    `json:"buildStatusConfig,omitempty"`
}

type sourceVersion struct {
	SourceIdentifier string `json:"sourceIdentifier"`
	SourceVersion    string `json:"sourceVersion"`
}

type artifacts struct {
	Type                 string `json:"type"`
	Location             string `json:"location,omitempty"`
	Path                 string `json:"path,omitempty"`
	NamespaceType        string `json:"namespaceType,omitempty"`
	Name                 string `json:"name,omitempty"`
	Packaging            string `json:"packaging,omitempty"`
	ArtifactIdentifier   string `json:"artifactIdentifier,omitempty"`
	BucketOwnerAccess    string `json:"bucketOwnerAccess,omitempty"`
	EncryptionDisabled   *bool  `json:"encryptionDisabled,omitempty"`
	OverrideArtifactName *bool  `json:"overrideArtifactName,omitempty"`
}

type environment struct {
	Type                     string     `json:"type"`
	Image                    string     `json:"image"`
	ComputeType              string     `json:"computeType"`
	EnvironmentVariables     []variable `json:"environmentVariables"`
	PrivilegedMode           bool       `json:"privilegedMode"`
	ImagePullCredentialsType string     `json:"imagePullCredentialsType,omitempty"`
	Certificate              string     `json:"certificate,omitempty"`
	Fleet                    any        `json:"fleet,omitempty"`
	RegistryCredential       any        `json:"registryCredential,omitempty"`
}

type variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Type  string `json:"type,omitempty"`
}

type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// document is what is kept of a project.
type document struct {
	Settings settings  `json:"settings"`
	Created  time.Time `json:"created"`
	Modified time.Time `json:"modified"`
}

// merge takes over what another request gives.
func (s *settings) merge(o settings) {
	set(&s.Description, o.Description)
	set(&s.Source, o.Source)
	set(&s.SourceVersion, o.SourceVersion)
	set(&s.Artifacts, o.Artifacts)
	set(&s.Environment, o.Environment)
	set(&s.ServiceRole, o.ServiceRole)
	set(&s.TimeoutInMinutes, o.TimeoutInMinutes)
	set(&s.QueuedTimeoutInMinutes, o.QueuedTimeoutInMinutes)
	set(&s.EncryptionKey, o.EncryptionKey)
	set(&s.BadgeEnabled, o.BadgeEnabled)
	set(&s.ConcurrentBuildLimit, o.ConcurrentBuildLimit)
	for _, one := range []struct{ to, from *any }{{&s.Cache, &o.Cache}, {&s.VpcConfig, &o.VpcConfig}, {&s.LogsConfig, &o.LogsConfig}, {&s.BuildBatchConfig, &o.BuildBatchConfig}} {
		if *one.from != nil {
			*one.to = *one.from
		}
	}
	if o.SecondarySources != nil {
		s.SecondarySources = o.SecondarySources
	}
	if o.SecondarySourceVersions != nil {
		s.SecondarySourceVersions = o.SecondarySourceVersions
	}
	if o.SecondaryArtifacts != nil {
		s.SecondaryArtifacts = o.SecondaryArtifacts
	}
	if o.FileSystemLocations != nil {
		s.FileSystemLocations = o.FileSystemLocations
	}
	if o.Tags != nil {
		s.Tags = o.Tags
	}
}

func set[T any](to **T, from *T) {
	if from != nil {
		*to = from
	}
}

// fill adds AWS's defaults.
func (s *settings) fill(c *wire.Call) {
	otherwise(&s.TimeoutInMinutes, 60)
	otherwise(&s.QueuedTimeoutInMinutes, 480)
	otherwise(&s.EncryptionKey, "arn:aws:kms:"+c.Region+":"+c.Account+":alias/aws/s3")
	otherwise(&s.BadgeEnabled, false)
	if s.Cache == nil {
		s.Cache = object{"type": "NO_CACHE"}
	}
	if e := s.Environment; e != nil {
		if e.ImagePullCredentialsType == "" {
			e.ImagePullCredentialsType = "CODEBUILD"
		}
		if e.EnvironmentVariables == nil {
			e.EnvironmentVariables = []variable{}
		}
		for i := range e.EnvironmentVariables {
			if e.EnvironmentVariables[i].Type == "" {
				e.EnvironmentVariables[i].Type = "PLAINTEXT"
			}
		}
	}
	if a := s.Artifacts; a != nil && a.Type == "S3" {
		for _, one := range []struct {
			to    *string
			value string
		}{{&a.NamespaceType, "NONE"}, {&a.Packaging, "NONE"}, {&a.Name, s.Name}} {
			if *one.to == "" {
				*one.to = one.value
			}
		}
		otherwise(&a.EncryptionDisabled, false)
	}
}

func otherwise[T any](to **T, value T) {
	if *to == nil {
		*to = &value
	}
}

func invalid(format string, args ...any) error {
	return wire.Errorf("InvalidInputException", format, args...)
}

// check refuses what builds here cannot do, by name.
func (s settings) check() error {
	if s.Source == nil || s.Artifacts == nil || s.Environment == nil {
		return invalid("Invalid project: source, artifacts and environment are required")
	}
	for _, one := range append([]source{*s.Source}, s.SecondarySources...) {
		if err := one.check(); err != nil {
			return err
		}
	}
	a, e := *s.Artifacts, *s.Environment
	switch {
	case (s.Source.Type == "CODEPIPELINE") != (a.Type == "CODEPIPELINE"):
		return invalid("Invalid project artifacts: the type CODEPIPELINE has to be that of the source and of the artifacts")
	case a.Type == "S3" && a.Location == "":
		return invalid("Invalid artifacts: location must not be empty")
	case len(s.SecondaryArtifacts) > 0:
		return invalid("Secondary artifacts are not served here: give each artifact a project of its own, or a pipeline")
	case len(s.FileSystemLocations) > 0:
		return invalid("File systems (fileSystemLocations) are not served here: no file system is mounted into builds")
	case strings.Contains(e.Type, "WINDOWS") || strings.Contains(e.Type, "LAMBDA"):
		return invalid("The environment type %s is not served here: builds run on this machine's system, use LINUX_CONTAINER", e.Type)
	case e.RegistryCredential != nil:
		return invalid("A registry credential is not served here: log in to the registry with the container runtime of this machine")
	}
	return nil
}

func (s source) check() error {
	switch s.Type {
	case "CODEPIPELINE":
	case "NO_SOURCE":
		if s.Buildspec == "" {
			return invalid("Project source of type NO_SOURCE requires a buildspec")
		}
	case "S3":
		if _, _, ok := bucketAndKey(s.Location); !ok {
			return invalid("Invalid S3 source location %q: it has to be BUCKET/KEY, the key of an archive", s.Location)
		}
	case "GITHUB":
		if _, ok := repositoryOf(s.Location); !ok {
			return invalid("Invalid GitHub source location %q: it has to be https://github.com/OWNER/NAME", s.Location)
		}
	default:
		return invalid("The source type %s is not served here: use GITHUB with showrunner aws repository OWNER/NAME=PATH-OR-URL, S3 or NO_SOURCE", s.Type)
	}
	return nil
}

// bucketAndKey takes the location of a source in S3 apart.
func bucketAndKey(location string) (bucket, key string, ok bool) {
	bucket, key, ok = strings.Cut(strings.TrimPrefix(location, "arn:aws:s3:::"), "/")
	return bucket, key, ok && bucket != "" && key != "" && !strings.HasSuffix(key, "/")
}

// repositoryOf is OWNER/NAME of a location on GitHub.
func repositoryOf(location string) (string, bool) {
	name, ok := strings.CutPrefix(location, "https://github.com/")
	if !ok {
		name, ok = strings.CutPrefix(location, "git@github.com:")
	}
	name = strings.TrimSuffix(strings.Trim(name, "/"), ".git")
	return name, ok && strings.Count(name, "/") == 1
}

// members are a value as an object whose members are named as AWS names them.
func members(v any) object {
	data, err := json.Marshal(v)
	out := object{}
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		panic("codebuild: a document is always JSON: " + err.Error())
	}
	return out
}

func projectARN(region, account, name string) string {
	return "arn:aws:codebuild:" + region + ":" + account + ":project/" + name
}

// told is a project as it is answered.
func (d document) told(c *wire.Call) object {
	out := members(d.Settings)
	delete(out, "badgeEnabled")
	out["arn"] = projectARN(c.Region, c.Account, d.Settings.Name)
	out["created"], out["lastModified"] = d.Created, d.Modified
	out["badge"] = object{"badgeEnabled": d.Settings.BadgeEnabled != nil && *d.Settings.BadgeEnabled}
	out["projectVisibility"] = "PRIVATE"
	if out["tags"] == nil {
		out["tags"] = []any{}
	}
	for _, list := range []string{"secondarySources", "secondaryArtifacts", "secondarySourceVersions"} {
		if out[list] == nil {
			out[list] = []any{}
		}
	}
	return out
}
