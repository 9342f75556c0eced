package build

// markVariable is how a build's processes are recognised after they have left
// their session and their parent.
const markVariable = "SHOWRUNNER_BUILD_MARK"

// mark says which processes belong to a build.
type mark struct {
	value     string
	sessions  []int
	exclusive bool
}
