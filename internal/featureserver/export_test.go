package featureserver

// Running notes a materialization in the background that does not end until leave is called.
func (s *Server) Running(views ...string) (leave func()) {
	leave, _ = s.jobs.enter(views, false)
	return leave
}

// Occupy takes memory of the budget for large requests.
func (s *Server) Occupy(n int64) { s.memory.held.Add(n) }

// Held is the memory of the budget that is taken.
func (s *Server) Held() int64 { return s.memory.held.Load() }

// BodiesOfBudget is how many bodies of the largest size the budget is.
const BodiesOfBudget = 8

// Lists is how long the lists of features are that are kept, by the count and by looking.
func (s *Server) Lists() (size, looked int) {
	for text := range s.lists.byText {
		looked += len(text)
	}
	return s.lists.size, looked
}
