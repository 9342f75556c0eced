package cloud

// ServiceURL is where people find a cluster, empty when the account's driver
// has no address for it.
func (a *Account) ServiceURL(cluster string) string {
	if d, ok := a.driver.(interface{ SiteURL(name string) string }); ok {
		return d.SiteURL(cluster)
	}
	return ""
}
