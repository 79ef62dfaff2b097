package app

import "tocsin/internal/store"

// Store runs f with the store in use, which stays open meanwhile: for
// measurements, which compare its plans and move its log into the file. Pages
// and commands ask through the methods that take a scope.
func (a *App) Store(f func(*store.Store) error) error { return a.with(f) }
