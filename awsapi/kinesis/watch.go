package kinesis

// Watch tells of records that this process has put into a stream, until stop is called;
// those that other control planes put are not told of.
func (s *Streams) Watch(region, stream string) (told <-chan struct{}, stop func()) {
	key, c := region+"/"+stream, make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watched[key] == nil {
		s.watched[key] = map[chan struct{}]bool{}
	}
	s.watched[key][c] = true
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if delete(s.watched[key], c); len(s.watched[key]) == 0 {
			delete(s.watched, key)
		}
	}
}

// tell tells those who watch a stream that there is more.
func (s *Streams) tell(region, stream string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.watched[region+"/"+stream] {
		select {
		case c <- struct{}{}:
		default: // it is told already
		}
	}
}
