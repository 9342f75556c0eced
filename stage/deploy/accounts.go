package deploy

import "showrunner/cloud"

// Accounts finds a cloud by the name that pipeline files use. Errors: not_found.
type Accounts interface {
	Account(name string) (*cloud.Account, error)
}

// accountOrLocal is the account of a stage, "local" when the stage names none.
func accountOrLocal(account string) string {
	if account == "" {
		return "local"
	}
	return account
}
