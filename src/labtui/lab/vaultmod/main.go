// Command vault is HashiCorp Vault, unchanged: its own command line, built as a Go dependency.
package main

import (
	"os"

	"github.com/hashicorp/vault/command"
)

func main() {
	os.Exit(command.Run(os.Args[1:]))
}
