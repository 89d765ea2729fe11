"""NOT PART OF THE LIBRARY: the original design, written down naively, to be measured beside ours.

Nobody should build this. It is what the design document that `evara_core` replaces describes,
working, with its faults of speed left in: entities by ORM and `response_model`, counts by COUNT
for each request, pages by OFFSET, every token verified anew, no caches, channels polled ten at a
time and processed one after the other, alert rules asked for with each reading.
"""
