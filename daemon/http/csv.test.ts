import t from 'tap'
import { csvLine } from './csv.ts'

t.test('what a spreadsheet would run as a formula is text; numbers, also negative ones, stay numbers', async (t) => {
  for (const cell of ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', '\n=1', '＝1+1', '＋1', '－1', '＠SUM'])
    t.match(csvLine([cell]), /^"?'/, JSON.stringify(cell))
  t.equal(csvLine([-5, 0, true, undefined, 'A-47', 'a=b', '"x"\n']), '-5,0,true,,A-47,a=b,"""x""\n"\r\n')
})
