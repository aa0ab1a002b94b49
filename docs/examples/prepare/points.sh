#!/bin/sh
# 400 points of a square, and whether they lie above its diagonal.
awk 'BEGIN {
    srand(1)
    print "x,y,side"
    for (i = 0; i < 400; i++) {
        x = rand(); y = rand()
        printf "%.4f,%.4f,%s\n", x, y, (y > x ? "above" : "below")
    }
}' > points.csv
