"""HTML: one file a page. Routes read, stories write, views say what is shown, templates print."""
