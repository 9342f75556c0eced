package store

// Reworded waits until everything is indexed as this version indexes.
func Reworded(s Store) {
	switch s := s.(type) {
	case *SQLite:
		s.reword.loops.Wait()
	case *Postgres:
		s.reword.loops.Wait()
	}
}
