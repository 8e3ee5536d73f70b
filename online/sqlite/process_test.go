package sqlite

const helperArg = "sqlite-test-helper"

func helper(what, path string) {}
