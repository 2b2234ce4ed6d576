#!/bin/dash
# The first process of the "real" group: real programs of Debian, each with a fixed
# amount of work, timed one by one. What a work prints is its checksum.
export PATH=/usr/bin:/usr/sbin
export LC_ALL=C
cd /work

compile() { gcc -O2 -S -o - float.c; }
compress() { xz -4 -c text; }
python() { python3 -I work.py; }
database() {
    sqlite3 :memory: "create table t (id integer primary key, name text, value int);
        with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
        insert into t select i, 'name' || (i * 7919 % 20000), i * 31 % 1009 from n;
        create index names on t (name);
        select count(*), sum(a.value) from t a join t b
            on a.name = 'name' || (b.id * 3 % 20000);
        select value % 17, count(*), max(name) from t group by 1 order by 1;"
}
crypto() {
    openssl dgst -sha256 text text text text
    openssl enc -aes-256-cbc -K 00112233 -iv 445566 -in text 2> /dev/null | openssl dgst -sha512
    openssl prime -hex "$prime"
}
files() { md5sum /usr/lib/python3*/*.py /usr/lib/python3*/*/*.py /usr/lib/riscv64-linux-gnu/lib*.so.*; }
processes() {
    count=0
    while [ $count -lt 300 ]; do
        /usr/bin/true
        count=$((count + 1))
    done
    echo $count
}

# 2^1279 - 1, a Mersenne prime.
prime=7$(printf '%0319d' 0 | tr 0 F)

for work in compile compress python database crypto files processes; do
    start=$(date +%s%N)
    sum=$($work | md5sum)
    end=$(date +%s%N)
    echo "work: real $work ${sum%% *} $((end - start))"
done > /dev/console
# As the first process, with nothing to do, it powers the machine off.
exec /bench
