-- Terms begin with the name of their segment, and facets with "_" after it; what
-- is no ASCII is part of a word. What is there is indexed again in the background,
-- from the newest down to the place in meta.
DROP TABLE word;
CREATE VIRTUAL TABLE word USING fts5 (words, content='', contentless_delete=1, tokenize="ascii tokenchars '_'", detail=none);
INSERT INTO meta (key, value) SELECT 'reword', max(seq) + 1 FROM execution HAVING count(*) > 0;
