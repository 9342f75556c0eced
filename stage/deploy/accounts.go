package deploy

import "showrunner/cloud"

// Accounts finds a cloud by the name that pipeline files use. Errors: not_found.
type Accounts interface {
	Account(name string) (*cloud.Account, error)
}

// orLocal is the account of a stage, "local" when the stage names none.
func orLocal(account string) string {
	if account == "" {
		return "local"
	}
	return account
}
