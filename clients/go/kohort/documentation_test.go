// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEverythingExportedIsDocumented: each type, function, method, field, constant
// and variable that users of this package see, and each file says what it is under.
func TestEverythingExportedIsDocumented(t *testing.T) {
	const licence = "// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0\n"
	files := token.NewFileSet()
	paths, err := filepath.Glob("*.go")
	if err != nil || len(paths) < 10 {
		t.Fatalf("found %v: %v", paths, err)
	}
	ours, err := filepath.Glob("../internal/*/*.go")
	if err != nil || len(ours) < 5 {
		t.Fatalf("found %v: %v", ours, err)
	}
	paths = append(paths, ours...)
	seen := 0
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), licence) {
			t.Errorf("%s does not begin with the licence", path)
		}
		if lines := strings.Count(string(text), "\n"); lines >= 350 {
			t.Errorf("%s says too much: %d lines", path, lines)
		}
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		documented := func(name *ast.Ident, comments ...*ast.CommentGroup) {
			if !name.IsExported() {
				return
			}
			seen++
			for _, comment := range comments {
				if comment.Text() != "" {
					return
				}
			}
			t.Errorf("%s: %s has no documentation", files.Position(name.Pos()), name.Name)
		}
		for _, declaration := range file.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				if isPublic(d.Recv) {
					documented(d.Name, d.Doc)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.TypeSpec:
						documented(s.Name, s.Doc, d.Doc)
						if s.Name.IsExported() {
							eachField(s.Type, func(field *ast.Field) {
								for _, name := range field.Names {
									documented(name, field.Doc, field.Comment)
								}
							})
						}
					case *ast.ValueSpec:
						for _, name := range s.Names {
							if len(d.Specs) == 1 {
								documented(name, d.Doc)
							} else {
								documented(name, s.Doc, s.Comment)
							}
						}
					}
				}
			}
		}
	}
	if seen < 150 {
		t.Errorf("only %d names were looked at", seen)
	}
}

// TestTheReadmeTellsEveryError that [errors.Is] tells apart.
func TestTheReadmeTellsEveryError(t *testing.T) {
	source, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?m)^\t(Err\w+) += errors\.New`).FindAllSubmatch(source, -1)
	if len(names) < 15 {
		t.Fatalf("found %d errors", len(names))
	}
	for _, name := range names {
		if !bytes.Contains(readme, name[1]) {
			t.Errorf("%s is not in the README", name[1])
		}
	}
}

// TestTheReadmeNamesWhatIsThere: the blocks beside the quickstart are run by nobody.
func TestTheReadmeNamesWhatIsThere(t *testing.T) {
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var sources []byte
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, text...)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`\b(?:kohort\.([A-Z]\w*)|(With[A-Z]\w*))`).FindAllSubmatch(readme, -1)
	if len(said) < 40 {
		t.Errorf("found %d names", len(said))
	}
	for _, name := range said {
		word := string(name[1]) + string(name[2])
		if !regexp.MustCompile(`(?m)^(?:func |type |const |\t)` + word + `(?:[\[({ ]| += )`).Match(sources) {
			t.Errorf("the README says %s, which is not there", word)
		}
	}
}

// isPublic tells whether a method's type is exported; functions have none.
func isPublic(receiver *ast.FieldList) bool {
	if receiver == nil {
		return true
	}
	kind := receiver.List[0].Type
	for {
		switch k := kind.(type) {
		case *ast.StarExpr:
			kind = k.X
		case *ast.IndexExpr:
			kind = k.X
		case *ast.Ident:
			return k.IsExported()
		default:
			return false
		}
	}
}

func eachField(kind ast.Expr, do func(*ast.Field)) {
	switch k := kind.(type) {
	case *ast.StructType:
		for _, field := range k.Fields.List {
			do(field)
		}
	case *ast.InterfaceType:
		for _, method := range k.Methods.List {
			do(method)
		}
	}
}
