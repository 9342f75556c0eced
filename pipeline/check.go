package pipeline

func (d *decoder) check(doc *Document, origins []*origin) {}
