"""The reference schema's records as clients may list, read and write them."""
