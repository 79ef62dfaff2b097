// Package web is the pages and the API: server-rendered html/template without
// scripts, and JSON or CSV at the same addresses.
//
// It takes requests and gives pages. It reads nothing but its [Backend], which
// it never asks without the scope that the [Authenticator] found; it never
// trusts a text of the backend's in a page or a CSV, and never says whether
// something exists that the asker may not read.
package web
