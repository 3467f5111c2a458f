package sample
import ("testing";"context";"encoding/json";"os";"strconv";"time")
func TestTry(t *testing.T){
 n,_:=strconv.ParseInt(os.Getenv("N"),10,64)
 e,_:=ParseEdition(os.Getenv("E"))
 st:=time.Now()
 s,err:=Write(context.Background(),Options{Dir:os.Getenv("D"),Products:n,Seed:1,Edition:e})
 if err!=nil{t.Fatal(err)}
 t.Log(time.Since(st))
 b,_:=json.MarshalIndent(s,""," ");t.Log(string(b))
}
