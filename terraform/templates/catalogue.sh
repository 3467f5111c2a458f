#!/bin/sh
# The first catalogue; nothing happens where the database has one.
. /opt/hotshelf/common.sh

files=/var/lib/hotshelf/catalogue
if [ -n "${CATALOGUE}" ]; then
	again aws s3 cp --quiet --recursive "${CATALOGUE}/" $files
	chmod -R a+rX $files
else
	/usr/local/bin/hotshelf sample $files --only-if-empty
fi
# The database on an instance of its own may still be starting; files that can't
# be loaded, on the other hand, get no better.
for try in 1 2 3 4 5 6 7 8 9 10; do
	/usr/local/bin/hotshelf load $files --only-if-empty && break
	echo "again in a minute ($try of 10)"
	sleep 60
done
/usr/local/bin/hotshelf warm --only-if-empty
