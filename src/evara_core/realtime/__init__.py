"""Tell everybody who may know, in order, and say so when something was missed."""
